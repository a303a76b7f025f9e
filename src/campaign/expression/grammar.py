"""The grammar of expressions: which nodes of a syntax tree are accepted, and how large they may be."""

from __future__ import annotations

import ast

from campaign.errors import InvalidValue, UnknownName, nearest

MAX_LENGTH = 1000  # characters
MAX_NODES = 200
MAX_EXPONENT = 64
MAX_INTEGER = 2**53  # beyond it, neighbouring integers are the same double: arithmetic refuses them
MAX_COMPARED = 2**63 - 1  # comparisons are exact up to here: identifiers of 19 digits
ARITHMETIC = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod)
COMPARISONS = (ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE)
CONSTANTS = {"true": True, "false": False, "pi": 3.141592653589793}
FUNCTIONS = {  # name: number of arguments; 2 means two or more
    "abs": 1,
    "sqrt": 1,
    "exp": 1,
    "log": 1,
    "log10": 1,
    "log2": 1,
    "sin": 1,
    "cos": 1,
    "tan": 1,
    "floor": 1,
    "ceil": 1,
    "round": 1,
    "missing": 1,
    "min": 2,
    "max": 2,
}


def check_tree(tree: ast.expr) -> tuple[str, ...]:
    """The dotted names that a tree reads, sorted.

    Raises:
        InvalidValue, UnknownName: a node that is not in the grammar, or too many of them.
    """
    if sum(isinstance(node, ast.expr) for node in ast.walk(tree)) > MAX_NODES:
        raise InvalidValue(f"the expression has more than {MAX_NODES} parts")
    names: set[str] = set()
    _check(tree, names)
    return tuple(sorted(names))


def dotted(node: ast.expr) -> str | None:
    """``a.b.c`` of nested attributes, or None."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return None
    return ".".join([node.id, *reversed(parts)])


def number(node: ast.expr) -> float | int | None:
    """The value of a literal number, with its sign, or None."""
    sign = 1
    while isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
        sign = -sign if isinstance(node.op, ast.USub) else sign
        node = node.operand
    if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)) and not isinstance(node.value, bool):
        return sign * node.value
    return None


def _check(node: ast.expr, names: set[str]) -> None:
    """Refuse every node that is not in the grammar."""
    match node:
        case ast.Constant(value=bool() | str()):
            return
        case ast.Constant(value=int() | float()):
            if isinstance(node.value, int) and abs(node.value) > MAX_COMPARED:
                raise InvalidValue("an integer beyond 2^63 in an expression")
            return
        case ast.Name() | ast.Attribute():
            name = dotted(node)
            if name is None or "__" in name:
                raise InvalidValue("an attribute is allowed only in a dotted name such as `problem.model`")
            if name not in CONSTANTS:
                names.add(name)
        case ast.UnaryOp(op=ast.USub() | ast.UAdd() | ast.Not()):
            _check(node.operand, names)
        case ast.BinOp(op=ast.Pow()):
            exponent = number(node.right)
            if exponent is None or not abs(exponent) <= MAX_EXPONENT:
                raise InvalidValue(
                    f"a power takes a number between -{MAX_EXPONENT} and {MAX_EXPONENT}",
                    hint="or write exp(b * log(a))",
                )
            _check(node.left, names)
        case ast.BinOp() if isinstance(node.op, ARITHMETIC):
            _check(node.left, names)
            _check(node.right, names)
        case ast.BoolOp():
            for value in node.values:
                _check(value, names)
        case ast.Compare():
            _check(node.left, names)
            for op, right in zip(node.ops, node.comparators, strict=True):
                if isinstance(op, (ast.In, ast.NotIn)):
                    _check_members(right)
                elif isinstance(op, COMPARISONS):
                    _check(right, names)
                else:
                    raise InvalidValue("`is` is not in the grammar", hint="write == or !=")
        case ast.Call(func=ast.Name(), keywords=[]):
            _check_call(node, names)
        case _:
            raise InvalidValue(
                f"`{type(node).__name__}` is not in the grammar of expressions",
                hint=f"valid: + - * / // % **, comparisons, in [..], and/or/not, {', '.join(sorted(FUNCTIONS))}",
            )


def _check_members(node: ast.expr) -> None:
    if not isinstance(node, (ast.List, ast.Tuple)):
        raise InvalidValue("`in` takes a list: `x in [1, 2]`")
    for member in node.elts:
        if number(member) is None and not isinstance(member, ast.Constant):
            raise InvalidValue("the list after `in` holds numbers and strings only")
        _check(member, set())


def _check_call(node: ast.Call, names: set[str]) -> None:
    name = node.func.id
    if name not in FUNCTIONS:
        raise UnknownName(f"unknown function `{name}`", hint=nearest(name, FUNCTIONS))
    wanted = FUNCTIONS[name]
    if len(node.args) != wanted and not (wanted == 2 and len(node.args) > 2):
        raise InvalidValue(f"`{name}` takes {'one argument' if wanted == 1 else 'two or more'}, not {len(node.args)}")
    for argument in node.args:
        _check(argument, names)
