"""Columns: what an axis holds, one value a point, without one Python object a point.

Numbers and booleans are NumPy arrays; strings and other JSON values are codes into a tuple of distinct values.
A point that does not set the axis is absent there (`present` is False).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from campaign.errors import InvalidValue
from campaign.identity import canonical

_MAX_EXACT = 2**53  # beyond it neighbouring integers are one double
_DTYPES = {"float": np.float64, "int": np.int64, "bool": np.bool_, "string": np.int32, "json": np.int32}
CODED = ("string", "json")


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """One axis over n points.

    Attributes:
        kind: "float", "int", "bool", "string" or "json" (anything else that JSON can say, null included).
        data: n values, or n codes into `values` for the kinds "string" and "json".
        values: the distinct values of a coded column.
        present: n booleans, or None where every point sets the axis.
    """

    kind: str
    data: np.ndarray
    values: tuple[Any, ...] = ()
    present: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.data)

    @property
    def is_coded(self) -> bool:
        return self.kind in CODED

    def take(self, index: np.ndarray) -> Column:
        """The points at `index`."""
        present = None if self.present is None else self.present[index]
        return Column(self.kind, self.data[index], self.values, present)

    def where_present(self) -> np.ndarray:
        """n booleans."""
        return np.ones(len(self.data), dtype=bool) if self.present is None else self.present

    def is_present(self, i: int) -> bool:
        """Whether the i-th point sets the axis."""
        return self.present is None or bool(self.present[i])

    def value(self, i: int) -> Any:
        """The i-th value as a Python value; None where absent."""
        if not self.is_present(i):
            return None
        return self.values[self.data[i]] if self.is_coded else self.data[i].item()

    def array(self, default: Any = None) -> np.ndarray:
        """For expressions: numbers as they are, the rest as objects; absent points get `default` (else NaN or None)."""
        if self.is_coded:
            if not self.values:
                return np.full(len(self.data), default, dtype=object)
            array = np.array([*self.values, None], dtype=object)[self.data]
        else:
            array = self.data
        if self.present is None or self.present.all():
            return array
        if isinstance(default, bool) and self.kind == "bool":
            return np.where(self.present, array, default)
        is_exact = self.kind == "float" or (self.kind == "int" and bool((np.abs(array) <= _MAX_EXACT).all()))
        if is_exact and (default is None or type(default) in (int, float)):
            fill = np.nan if default is None else default
            return np.where(self.present, array, fill)
        array = array.astype(object)
        array[~self.present] = default
        return array

    def as_float(self) -> Column:
        """The same numbers as doubles.

        Raises:
            InvalidValue: an integer that is not a double.
        """
        if self.kind not in ("int", "bool"):
            return self
        if self.kind == "int" and (np.abs(self.data) > _MAX_EXACT).any():
            raise InvalidValue("integers beyond 2^53 and decimals are on one axis", hint="write all of them as text")
        return Column("float", self.data.astype(np.float64), (), self.present)

    def as_json(self) -> Column:
        """The same values as the kind "json", so that columns of different kinds can be joined."""
        if self.is_coded:
            return Column("json", self.data, self.values, self.present)
        if self.kind == "int" and (np.abs(self.data) > _MAX_EXACT).any():
            raise InvalidValue("integers beyond 2^53 and text are on one axis", hint="write all of them as text")
        distinct, codes = np.unique(self.data, return_inverse=True)
        return Column("json", codes.astype(np.int32), tuple(distinct.tolist()), self.present)


Columns = dict[str, Column]  # one entry an axis, all of the same length


def column_of(values: Sequence[Any]) -> Column:
    """A column of JSON values.

    Raises:
        InvalidValue: an integer beyond 64 bits, or a number that is not finite.
    """
    kinds = {_kind(v) for v in values}
    if kinds <= {"int", "float"} and kinds:
        kind = "float" if "float" in kinds else "int"
        try:
            data = np.array(values, dtype=_DTYPES[kind])
        except OverflowError:
            raise InvalidValue("an integer beyond 64 bits") from None
        if not np.isfinite(data).all():
            raise InvalidValue("a number that is not finite")
        return Column(kind, data + 0 if kind == "int" else data + 0.0)  # −0.0 becomes 0
    if kinds == {"bool"}:
        return Column("bool", np.array(values, dtype=np.bool_))
    kind = "string" if kinds == {"string"} else "json"
    codes: dict[Any, int] = {}
    distinct: list[Any] = []
    data = np.empty(len(values), dtype=np.int32)
    for i, value in enumerate(values):
        key = value if kind == "string" else canonical(value)
        code = codes.get(key)
        if code is None:
            code = codes[key] = len(distinct)
            distinct.append(value)
        data[i] = code
    return Column(kind, data, tuple(distinct))


def constant(value: Any, n: int) -> Column:
    """The same value n times."""
    return column_of([value]).take(np.zeros(n, dtype=np.intp))


def _kind(value: Any) -> str:
    match value:
        case bool():
            return "bool"
        case int():
            return "int"
        case float():
            return "float"
        case str():
            return "string"
        case _:
            return "json"


def _common_kind(kinds: set[str]) -> str:
    if len(kinds) == 1:
        return next(iter(kinds))
    return "float" if kinds <= {"int", "float"} else "json"


def scatter(n: int, pieces: Sequence[tuple[np.ndarray, Column]]) -> Column:
    """A column of n points from pieces and the positions where they belong; absent elsewhere."""
    kind = _common_kind({column.kind for _, column in pieces})
    pieces = [(at, _convert(column, kind)) for at, column in pieces]
    values, pieces = _common_values(kind, pieces)
    data = np.zeros(n, dtype=_DTYPES[kind])
    present = np.zeros(n, dtype=bool)
    for at, column in pieces:
        data[at] = column.data
        present[at] = column.where_present()
    return Column(kind, data, values, None if present.all() else present)


def _convert(column: Column, kind: str) -> Column:
    if column.kind == kind:
        return column
    return column.as_float() if kind == "float" else column.as_json()


def _common_values(kind: str, pieces: Sequence[tuple[np.ndarray, Column]]) -> tuple[tuple, list]:
    """Recode coded columns to one tuple of distinct values."""
    if kind not in CODED:
        return (), list(pieces)
    first = pieces[0][1].values
    if all(column.values is first or column.values == first for _, column in pieces) and kind == "string":
        return first, list(pieces)
    codes: dict[Any, int] = {}
    distinct: list[Any] = []
    recoded = []
    for at, column in pieces:
        mapping = np.zeros(max(len(column.values), 1), dtype=np.int32)
        for i, value in enumerate(column.values):
            key = value if kind == "string" else canonical(value)
            if key not in codes:
                codes[key] = len(distinct)
                distinct.append(value)
            mapping[i] = codes[key]
        recoded.append((at, Column(kind, mapping[column.data], (), column.present)))
    return tuple(distinct), recoded


def concatenate(blocks: Sequence[tuple[int, Mapping[str, Column]]]) -> Columns:
    """Blocks of points, one after the other; axes that a block does not have are absent in it.

    Args:
        blocks: (number of points, columns) of each.
    """
    paths: dict[str, None] = {}
    for _, columns in blocks:
        paths.update(dict.fromkeys(columns))
    total = sum(n for n, _ in blocks)
    joined: Columns = {}
    for path in paths:
        pieces, offset = [], 0
        for n, columns in blocks:
            if path in columns:
                pieces.append((np.s_[offset : offset + n], columns[path]))
            offset += n
        joined[path] = named(path, total, pieces)
    return joined


def named(path: str, n: int, pieces: Sequence[tuple[np.ndarray, Column]]) -> Column:
    """`scatter`, with the axis named where its pieces do not go together."""
    try:
        return scatter(n, pieces)
    except InvalidValue as error:
        raise InvalidValue(f"the axis `{path}`: {error.message}", hint=error.hint) from None
