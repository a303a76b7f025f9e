"""The values of a checked syntax tree, on whole columns."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from campaign.errors import InvalidValue
from campaign.expression.grammar import CONSTANTS, MAX_INTEGER, dotted, number

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
_FUNCTIONS: dict[str, Callable] = {
    "abs": np.abs,
    "sqrt": np.sqrt,
    "exp": np.exp,
    "log": np.log,
    "log10": np.log10,
    "log2": np.log2,
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "floor": np.floor,
    "ceil": np.ceil,
    "round": np.round,
    "min": np.minimum,
    "max": np.maximum,
}


def evaluate(node: ast.expr, columns: Mapping[str, Any]) -> Any:
    """The value of a node: an array of one entry a row, or a scalar."""
    match node:
        case ast.Constant():
            return node.value
        case ast.Name() | ast.Attribute():
            name = dotted(node) or ""
            return columns[name] if name in columns else CONSTANTS[name]
        case ast.UnaryOp(op=ast.Not()):
            return np.logical_not(_truth(evaluate(node.operand, columns)))
        case ast.UnaryOp():
            value = _numeric(evaluate(node.operand, columns))
            return -value if isinstance(node.op, ast.USub) else value
        case ast.BinOp(op=ast.Pow()):
            base, exponent = _numeric(evaluate(node.left, columns)), number(node.right) or 0
            power = np.power(np.asarray(base, dtype=np.float64), float(exponent))
            return _as_integer(power) if _is_integer(base) and isinstance(exponent, int) and exponent >= 0 else power
        case ast.BinOp():
            return _arithmetic(node.op, evaluate(node.left, columns), evaluate(node.right, columns))
        case ast.BoolOp():
            values = [_truth(evaluate(v, columns)) for v in node.values]
            combine = np.logical_and if isinstance(node.op, ast.And) else np.logical_or
            return combine.reduce(np.broadcast_arrays(*values))
        case ast.Compare():
            return _comparison(node, columns)
        case ast.Call():
            return _call(node, columns)
        case _:
            raise InvalidValue(f"`{type(node).__name__}` is not in the grammar of expressions")


def _is_integer(value: Any) -> bool:
    return np.asarray(value).dtype.kind in "iu"


def _as_integer(value: Any) -> Any:
    """A float array of exact integers as int64.

    Raises:
        InvalidValue: one is beyond 2^53.
    """
    if np.any((value > MAX_INTEGER) | (value < -MAX_INTEGER)):
        raise InvalidValue("an integer is beyond 2^53", hint="write one of the numbers with a decimal point")
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
    for operand in (a, b):
        if _is_integer(operand):
            _as_integer(operand)
    if not (_is_integer(a) and _is_integer(b)):
        return _ARITHMETIC[type(op)](np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64))
    value = _ARITHMETIC[type(op)](np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64))
    if isinstance(op, ast.Div) or not np.all(np.isfinite(value)):
        return value
    return _as_integer(value)


def _comparison(node: ast.Compare, columns: Mapping[str, Any]) -> Any:
    left, result = evaluate(node.left, columns), None
    for op, comparator in zip(node.ops, node.comparators, strict=True):
        if isinstance(op, (ast.In, ast.NotIn)):
            members = [v.value if isinstance(v, ast.Constant) else number(v) for v in comparator.elts]
            found = np.zeros(np.shape(left), dtype=bool)
            for member in members:
                found = found | _compare(operator.eq, left, member)
            value, right = (~found if isinstance(op, ast.NotIn) else found), left
        else:
            right = evaluate(comparator, columns)
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
    """Two numbers, or two strings."""
    return any(isinstance(x, kind) and isinstance(y, kind) for kind in (str, (int, float, np.number, np.bool_)))


def _objects_of_text(value: Any) -> np.ndarray:
    array = np.asarray(value)
    return array.astype(object) if array.dtype.kind in "UST" else array


def _call(node: ast.Call, columns: Mapping[str, Any]) -> Any:
    name = node.func.id
    arguments = [evaluate(a, columns) for a in node.args]
    if name == "missing":
        return _is_missing(np.asarray(arguments[0]))
    values = [_numeric(v) for v in arguments]
    if name in ("min", "max"):
        result = values[0]
        for value in values[1:]:
            result = _FUNCTIONS[name](result, value)
        return result
    result = _FUNCTIONS[name](values[0])
    if name in ("floor", "ceil", "round") and np.all(np.abs(result) <= MAX_INTEGER):
        return np.asarray(result).astype(np.int64)
    return result


def _is_missing(array: np.ndarray) -> np.ndarray:
    if array.dtype.kind == "O":
        absent = (value is None or value != value for value in array.flat)
        return np.fromiter(absent, dtype=bool, count=array.size).reshape(array.shape)
    return np.isnan(array) if array.dtype.kind == "f" else np.zeros(array.shape, dtype=bool)
