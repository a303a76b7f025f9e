"""A bounded arithmetic and comparison grammar over columns: `derive`, `exclude`, `--where`.

    problem.cov_scale > 1.2 and start.H0 in [60, 70]        max(abs(start.a), 1e-3) ** 2

Python's notation, parsed into a syntax tree of which only listed nodes are accepted, evaluated by this module on whole
NumPy columns. Nothing is compiled or executed. Lengths, node counts, exponents and integers are bounded, so that every
expression ends in time proportional to the rows.
"""

from __future__ import annotations

import ast
import operator
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from campaign.errors import InvalidValue, UnknownName, nearest

MAX_LENGTH = 1000  # characters
MAX_NODES = 200
MAX_EXPONENT = 64
MAX_INTEGER = 2**53  # beyond it, neighbouring integers are the same double

_ARITHMETIC: dict[type, Callable] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: np.true_divide,
    ast.FloorDiv: np.floor_divide,
    ast.Mod: np.mod,
}
_COMPARISONS: dict[type, Callable] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_FUNCTIONS: dict[str, tuple[Callable, int]] = {  # name: (function of floats, number of arguments; −1 = two or more)
    "abs": (np.abs, 1),
    "sqrt": (np.sqrt, 1),
    "exp": (np.exp, 1),
    "log": (np.log, 1),
    "log10": (np.log10, 1),
    "log2": (np.log2, 1),
    "sin": (np.sin, 1),
    "cos": (np.cos, 1),
    "tan": (np.tan, 1),
    "floor": (np.floor, 1),
    "ceil": (np.ceil, 1),
    "round": (np.round, 1),
    "min": (np.minimum, -1),
    "max": (np.maximum, -1),
}
FUNCTIONS = (*sorted(_FUNCTIONS), "missing")
_CONSTANTS = {"true": True, "false": False, "pi": float(np.pi)}


@dataclass(frozen=True, slots=True)
class Expression:
    """A parsed expression.

    Attributes:
        text: as written.
        tree: its checked syntax tree.
        names: the dotted names that it reads, sorted.
    """

    text: str
    tree: ast.expr
    names: tuple[str, ...]

    @staticmethod
    def parse(text: str) -> Expression:
        """Parse and check.

        Raises:
            InvalidValue: not in the grammar, or beyond its bounds.
        """
        if not isinstance(text, str):
            raise InvalidValue(f"an expression is a string, not {text!r}")
        if len(text) > MAX_LENGTH:
            raise InvalidValue(f"the expression has {len(text)} characters; the most is {MAX_LENGTH}")
        if "\0" in text:
            raise InvalidValue("the expression holds a NUL character")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Python's hints on odd literals; what is odd is refused below
                tree = ast.parse(text.strip(), mode="eval").body
        except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
            where = f" at column {error.offset}" if isinstance(error, SyntaxError) and error.offset else ""
            reason = getattr(error, "msg", None) or type(error).__name__
            raise InvalidValue(f"`{_short(text)}` is not an expression{where}: {reason}") from None
        if sum(1 for _ in ast.walk(tree)) > 4 * MAX_NODES or _count(tree) > MAX_NODES:
            raise InvalidValue(f"the expression has more than {MAX_NODES} parts")
        names: set[str] = set()
        _check(tree, names)
        return Expression(text, tree, tuple(sorted(names)))

    def evaluate(self, columns: Mapping[str, np.ndarray]) -> np.ndarray:
        """One value a row.

        Args:
            columns: arrays of one length (or scalars) by dotted name. Strings as object arrays; None or NaN where a
                row has no value: comparisons with it are False (`!=` True), arithmetic gives NaN.

        Returns:
            A bool, int64, float64 or object array with one entry a row.

        Raises:
            UnknownName: a name that `columns` lacks.
            InvalidValue: arithmetic on strings, an integer beyond 2^53.
        """
        for name in self.names:
            if name not in columns:
                raise UnknownName(f"unknown name `{name}` in `{_short(self.text)}`", hint=nearest(name, columns))
        n = max((np.shape(v)[0] for v in columns.values() if np.ndim(v)), default=1)
        with np.errstate(all="ignore"):  # 1/0 and log(-1) are inf and NaN; who uses the values checks them
            value = _evaluate(self.tree, columns)
        if np.ndim(value) == 0:
            value = np.full(n, value) if not isinstance(value, str) else np.array([value] * n, dtype=object)
        return np.asarray(value)

    def mask(self, columns: Mapping[str, np.ndarray]) -> np.ndarray:
        """`evaluate`, for a condition.

        Raises:
            InvalidValue: the expression gives numbers or strings, not true and false.
        """
        value = self.evaluate(columns)
        if value.dtype != np.bool_:
            raise InvalidValue(f"`{_short(self.text)}` is not a condition: compare with something")
        return value


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."


def _count(tree: ast.AST) -> int:
    """Nodes that mean something: operands, operations, names."""
    return sum(1 for node in ast.walk(tree) if isinstance(node, ast.expr))


def _dotted(node: ast.expr) -> str | None:
    """``a.b.c`` of nested attributes, or None."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return None
    return ".".join([node.id, *reversed(parts)])


def _number(node: ast.expr) -> float | int | None:
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
            if isinstance(node.value, int) and abs(node.value) > MAX_INTEGER:
                raise InvalidValue("an integer beyond 2^53 in an expression")
            return
        case ast.Name() | ast.Attribute():
            name = _dotted(node)
            if name is None or "__" in name:
                raise InvalidValue("an attribute stands only in a dotted name such as `problem.model`")
            if name not in _CONSTANTS:
                names.add(name)
        case ast.UnaryOp(op=ast.USub() | ast.UAdd() | ast.Not()):
            _check(node.operand, names)
        case ast.BinOp(op=ast.Pow()):
            exponent = _number(node.right)
            if exponent is None or not abs(exponent) <= MAX_EXPONENT:
                raise InvalidValue(
                    f"a power takes a number between -{MAX_EXPONENT} and {MAX_EXPONENT}",
                    hint="or write exp(b * log(a))",
                )
            _check(node.left, names)
        case ast.BinOp() if type(node.op) in _ARITHMETIC:
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
                elif type(op) in _COMPARISONS:
                    _check(right, names)
                else:
                    raise InvalidValue("`is` is not in the grammar", hint="write == or !=")
        case ast.Call(func=ast.Name(), keywords=[]):
            _check_call(node, names)
        case _:
            raise InvalidValue(
                f"`{type(node).__name__}` is not in the grammar of expressions",
                hint=f"valid: + - * / // % **, comparisons, in [..], and/or/not, {', '.join(FUNCTIONS)}",
            )


def _check_members(node: ast.expr) -> None:
    if not isinstance(node, (ast.List, ast.Tuple)):
        raise InvalidValue("`in` takes a list: `x in [1, 2]`")
    for member in node.elts:
        if _number(member) is None and not isinstance(member, ast.Constant):
            raise InvalidValue("the list after `in` holds numbers and strings only")
        _check(member, set())


def _check_call(node: ast.Call, names: set[str]) -> None:
    name = node.func.id
    if name not in FUNCTIONS:
        raise UnknownName(f"unknown function `{name}`", hint=nearest(name, FUNCTIONS))
    wanted = 1 if name == "missing" else _FUNCTIONS[name][1]
    if (wanted < 0 and len(node.args) < 2) or (wanted > 0 and len(node.args) != wanted):
        raise InvalidValue(f"`{name}` takes {'two or more' if wanted < 0 else wanted} arguments, not {len(node.args)}")
    for argument in node.args:
        _check(argument, names)


def _evaluate(node: ast.expr, columns: Mapping[str, Any]) -> Any:
    match node:
        case ast.Constant():
            return node.value
        case ast.Name() | ast.Attribute():
            name = _dotted(node)
            return columns[name] if name in columns else _CONSTANTS[name]
        case ast.UnaryOp(op=ast.Not()):
            return np.logical_not(_truth(_evaluate(node.operand, columns)))
        case ast.UnaryOp():
            value = _numeric(_evaluate(node.operand, columns))
            return -value if isinstance(node.op, ast.USub) else value
        case ast.BinOp(op=ast.Pow()):
            base, exponent = _numeric(_evaluate(node.left, columns)), _number(node.right)
            power = np.power(np.asarray(base, dtype=np.float64), float(exponent))
            return _as_integer(power) if _is_integer(base) and isinstance(exponent, int) and exponent >= 0 else power
        case ast.BinOp():
            return _arithmetic(node.op, _evaluate(node.left, columns), _evaluate(node.right, columns))
        case ast.BoolOp():
            values = [_truth(_evaluate(v, columns)) for v in node.values]
            combine = np.logical_and if isinstance(node.op, ast.And) else np.logical_or
            return combine.reduce(np.broadcast_arrays(*values))
        case ast.Compare():
            return _comparison(node, columns)
        case _:
            return _call(node, columns)


def _is_integer(value: Any) -> bool:
    return np.asarray(value).dtype.kind in "iu"


def _as_integer(value: Any) -> Any:
    """A float array of exact integers as int64.

    Raises:
        InvalidValue: one is beyond 2^53.
    """
    if np.any(np.abs(value) > MAX_INTEGER):
        raise InvalidValue("an integer result is beyond 2^53", hint="write one of the numbers with a decimal point")
    return np.asarray(value).astype(np.int64)


def _numeric(value: Any) -> Any:
    """Numbers as they are; None as NaN.

    Raises:
        InvalidValue: strings.
    """
    array = np.asarray(value)
    if array.dtype.kind in "fiu":
        return array if array.ndim else array[()]
    if array.dtype.kind == "b":
        return array.astype(np.int64)
    try:
        if array.dtype.kind != "O" or any(isinstance(v, str) for v in array.flat):
            raise ValueError
        return array.astype(np.float64)
    except (TypeError, ValueError):
        raise InvalidValue("arithmetic on a value that is not a number") from None


def _truth(value: Any) -> Any:
    array = np.asarray(value)
    if array.dtype.kind == "b":
        return array
    if array.dtype.kind == "O" and all(v is None or isinstance(v, (bool, np.bool_)) for v in array.flat):
        return array == True  # noqa: E712  (None counts as false)
    raise InvalidValue("`and`, `or`, `not` take conditions, not numbers or strings", hint="compare with something")


def _arithmetic(op: ast.operator, left: Any, right: Any) -> Any:
    a, b = _numeric(left), _numeric(right)
    if not (_is_integer(a) and _is_integer(b)):
        return _ARITHMETIC[type(op)](np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64))
    value = _ARITHMETIC[type(op)](np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64))
    if isinstance(op, ast.Div) or not np.all(np.isfinite(value)):
        return value
    return _as_integer(value)


def _comparison(node: ast.Compare, columns: Mapping[str, Any]) -> Any:
    left, result = _evaluate(node.left, columns), None
    for op, comparator in zip(node.ops, node.comparators, strict=True):
        if isinstance(op, (ast.In, ast.NotIn)):
            members = [v.value if isinstance(v, ast.Constant) else _number(v) for v in comparator.elts]
            found = np.zeros(np.shape(left), dtype=bool)
            for member in members:
                found = found | _compare(operator.eq, left, member)
            value, right = (~found if isinstance(op, ast.NotIn) else found), left
        else:
            right = _evaluate(comparator, columns)
            value = _compare(_COMPARISONS[type(op)], left, right)
        result = value if result is None else np.logical_and(result, value)
        left = right
    return result


def _compare(op: Callable, left: Any, right: Any) -> np.ndarray:
    """Element by element; values of different kinds are unequal, and neither smaller nor larger."""
    a, b = np.broadcast_arrays(_objects_of_text(left), _objects_of_text(right))
    if a.dtype.kind in "biuf" and b.dtype.kind in "biuf":
        return op(a, b)
    if a.dtype.kind not in "biufO" or b.dtype.kind not in "biufO":
        return np.asarray(op(a, b), dtype=bool)  # dates
    if op in (operator.eq, operator.ne):
        equal = np.fromiter((x is not None and x == y for x, y in zip(a.flat, b.flat)), dtype=bool, count=a.size)
        return (equal if op is operator.eq else ~equal).reshape(a.shape)
    pairs = zip(a.flat, b.flat)
    ordered = np.fromiter((_comparable(x, y) and op(x, y) for x, y in pairs), dtype=bool, count=a.size)
    return ordered.reshape(a.shape)


def _comparable(x: Any, y: Any) -> bool:
    if isinstance(x, str) or isinstance(y, str):
        return isinstance(x, str) and isinstance(y, str)
    return x is not None and y is not None


def _objects_of_text(value: Any) -> np.ndarray:
    array = np.asarray(value)
    return array.astype(object) if array.dtype.kind in "UST" else array


def _call(node: ast.Call, columns: Mapping[str, Any]) -> Any:
    name = node.func.id
    arguments = [_evaluate(a, columns) for a in node.args]
    if name == "missing":
        array = np.asarray(arguments[0])
        if array.dtype.kind == "O":
            return np.fromiter((v is None or v != v for v in array.flat), dtype=bool, count=array.size).reshape(
                array.shape
            )
        return np.isnan(array) if array.dtype.kind == "f" else np.zeros(array.shape, dtype=bool)
    function, wanted = _FUNCTIONS[name]
    values = [_numeric(v) for v in arguments]
    if wanted < 0:
        result = values[0]
        for value in values[1:]:
            result = function(result, value)
        return result
    result = function(np.asarray(values[0]) if _is_integer(values[0]) else values[0])
    if name in ("floor", "ceil", "round") and np.all(np.abs(result) <= MAX_INTEGER):
        return np.asarray(result).astype(np.int64)
    return result
