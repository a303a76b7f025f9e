"""The values of an axis: a list, or a range form."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np

from campaign.errors import Diagnostic, InvalidValue
from campaign.manifest.cells import is_label, json_column
from campaign.manifest.columns import Column, column_of
from campaign.manifest.diagnose import kind_of, pointer, shown

MAX_VALUES = 20_000_000
RANGES = {"linspace": "[first, last, n]", "logspace": "[first, last, n]", "range": "[start, stop, step]"}


def axis_values(document: Any, path: str, place: str, found: list[Diagnostic]) -> Column | None:
    """A list of JSON values, ``{"linspace": [a, b, n]}``, ``{"logspace": [a, b, n]}`` or ``{"range": [a, b, step]}``.

    `logspace` runs geometrically from a to b, both included. `range` leaves b out; whole numbers stay whole. The values
    of `linspace` and `range` are those of decimal arithmetic: 0.1, 0.2, 0.3, and never 0.30000000000000004. In a tag,
    null is not a value.

    What is wrong goes to `found`, and None comes back.
    """
    if isinstance(document, list):
        if not document:
            found.append(Diagnostic(place=place, message="an axis without values", hint="give at least one value"))
            return None
        try:
            return json_column(document, path) if is_label(path) else column_of(document)
        except InvalidValue as error:
            found.append(Diagnostic.of(place, error))
            return None
    if isinstance(document, dict) and len(document) == 1 and next(iter(document)) in RANGES:
        ((kind, numbers),) = document.items()
        try:
            return _RANGE_FUNCTIONS[kind](*_three(kind, numbers))
        except InvalidValue as error:
            found.append(Diagnostic.of(pointer(place, kind), error))
            return None
    forms = ", ".join(f'{{"{name}": {form}}}' for name, form in RANGES.items())
    found.append(
        Diagnostic(
            place=place,
            message=f"{shown(document)} ({kind_of(document)}) is not the values of an axis",
            hint=f"valid: a list, {forms}",
        )
    )
    return None


def _three(kind: str, numbers: Any) -> tuple[Any, Any, Any]:
    ok = isinstance(numbers, list) and len(numbers) == 3
    if not ok or not all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in numbers):
        raise InvalidValue(f"`{kind}` takes three numbers {RANGES[kind]}, not {shown(numbers)}")
    return numbers[0], numbers[1], numbers[2]


def _count(kind: str, n: Any) -> int:
    if n != int(n) or not 1 <= n <= MAX_VALUES:
        raise InvalidValue(f"`{kind}` takes a whole number of values from 1 to {MAX_VALUES:,}, not {n}")
    return int(n)


def _linspace(first: float, last: float, n: Any) -> Column:
    n = _count("linspace", n)
    steps = max(n - 1, 1)
    a, b, scale = _decimals(first, last)
    exact = _quotients(a * steps, b - a, n, scale * steps)
    return Column("float", np.linspace(first, last, n) + 0.0 if exact is None else exact)


def _logspace(first: float, last: float, n: Any) -> Column:
    if first <= 0 or last <= 0:
        raise InvalidValue(f"`logspace` takes its first and last value, both positive, not {first} and {last}")
    return Column("float", np.geomspace(float(first), float(last), _count("logspace", n)))


def _range(start: float, stop: float, step: float) -> Column:
    if step == 0:
        raise InvalidValue("`range` takes a step that is not 0")
    a, b, c, scale = _decimals(start, stop, step)
    n = -((a - b) // c)  # the stop value itself stays out
    if not 1 <= n <= MAX_VALUES:
        raise InvalidValue(f"`range` from {start} to {stop} by {step} has {max(n, 0):,} values")
    if all(isinstance(v, int) for v in (start, stop, step)):
        return Column("int", start + step * np.arange(n, dtype=np.int64))
    exact = _quotients(a, c, n, scale)
    return Column("float", start + step * np.arange(n, dtype=np.float64) + 0.0 if exact is None else exact)


def _decimals(*numbers: float) -> tuple[int, ...]:
    """The numbers as written (their shortest decimals), times a power of ten that makes them whole; that power last."""
    decimals = [Decimal(repr(number)) for number in numbers]
    power = max(0, *(-int(d.as_tuple().exponent) for d in decimals))
    return *(int(d.scaleb(power)) for d in decimals), 10**power


def _quotients(first: int, step: int, n: int, divisor: int) -> np.ndarray | None:
    """(first + k·step)/divisor for k < n, rounded once; None where a term is not an exact double."""
    if max(abs(first), abs(first + (n - 1) * step), divisor) > 2**53:
        return None
    return (first + step * np.arange(n, dtype=np.int64)) / float(divisor) + 0.0


_RANGE_FUNCTIONS = {"linspace": _linspace, "logspace": _logspace, "range": _range}
