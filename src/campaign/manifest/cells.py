"""The cells of a column of a file → a `Column`, exactly: a value is kept as it is or refused, never rounded or dropped.

Cells of a CSV file are text. They are numbers where all that are filled say a number: without leading zeros, and,
in a tag, without two texts that mean one number (`1.1` and `1.10`). Everything else stays text.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from campaign.errors import InvalidValue
from campaign.manifest.columns import Column, column_of, scatter
from campaign.manifest.diagnose import shown

if TYPE_CHECKING:
    import pyarrow as pa

MISSING = ("nan", "na", "n/a", "null", "none")  # words for an empty cell in a column of numbers, in any case
MAX_EXACT = 2**53 - 1  # beyond it neighbouring integers are one double, and have no canonical JSON
_INTEGER = r"^[+-]?[0-9]+$"
_PADDED = r"^[+-]?0[0-9]"
_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_INFINITE = r"(?i)^[+-]?inf(inity)?$"
_BOOLEAN = r"^(true|True|TRUE|false|False|FALSE)$"


def is_label(path: str) -> bool:
    """Whether an axis only names runs: any value may be there, or none."""
    return path == "label" or path.startswith("tag.")


def is_number(path: str) -> bool:
    """Whether an axis takes numbers and nothing else."""
    return path == "replicate" or path.startswith(("start.", "scale."))


def text_column(cells: pa.ChunkedArray, path: str) -> Column:
    """Cells of a CSV file, null where empty.

    Raises:
        InvalidValue: a cell that cannot be kept exactly, or text where the axis takes numbers; with its row.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    cells = cells.combine_chunks() if isinstance(cells, pa.ChunkedArray) else cells
    trimmed = pc.utf8_trim_whitespace(cells)
    is_word = pc.is_in(pc.utf8_lower(trimmed), value_set=pa.array(MISSING))
    filled = pc.and_(pc.fill_null(pc.not_equal(trimmed, ""), False), pc.invert(is_word))
    mask = filled.to_numpy(zero_copy_only=False)
    numbers = trimmed.filter(filled)
    if path == "label" or (is_label(path) and not mask.any()):
        return _strings(cells)
    if _all_match(numbers, _BOOLEAN) and len(numbers) and not is_number(path):
        return _spread(mask, Column("bool", pc.equal(pc.utf8_lower(numbers), "true").to_numpy(zero_copy_only=False)))
    looks = pc.or_(pc.match_substring_regex(numbers, _NUMBER), pc.match_substring_regex(numbers, _INFINITE))
    looks = looks.to_numpy(zero_copy_only=False)
    if is_number(path) and not looks.all():
        at = int(np.flatnonzero(mask)[np.argmin(looks)])
        raise InvalidValue(f"row {at + 1} holds {shown(cells[at].as_py())}, which is not a number")
    is_padded = pc.any(pc.match_substring_regex(numbers, _PADDED)).as_py() and not is_number(path)
    if not looks.all() or is_padded:
        return _strings(cells)
    column = _numbers(numbers, path, np.flatnonzero(mask))
    return _strings(cells) if column is None else _spread(mask, column)


def _all_match(cells: pa.Array, pattern: str) -> bool:
    import pyarrow.compute as pc

    return bool(pc.all(pc.match_substring_regex(cells, pattern), min_count=0).as_py())


def _numbers(cells: pa.Array, path: str, rows: np.ndarray) -> Column | None:
    """Texts of numbers as numbers; None where a tag says more than the numbers would."""
    import pyarrow as pa
    import pyarrow.compute as pc

    plain = pc.replace_substring_regex(cells, r"^\+", "")
    column: Column | None = None
    if _all_match(cells, _INTEGER):
        try:
            column = Column("int", plain.cast(pa.int64()).to_numpy())
        except pa.ArrowInvalid:
            if is_label(path):
                return None
            i = next(i for i, text in enumerate(plain.to_pylist()) if abs(int(text)) > MAX_EXACT)
            raise _inexact(plain[i].as_py(), int(rows[i])) from None
    else:
        column = Column("float", plain.cast(pa.float64()).to_numpy() + 0.0)
        _refuse_infinite(column.data, rows)
        whole = plain.filter(pc.match_substring_regex(cells, _INTEGER)).to_pylist()
        large = next((text for text in whole if abs(int(text)) > MAX_EXACT), None)
        if large is not None and is_label(path):
            return None
        if large is not None:
            raise _inexact(large, int(rows[pc.index(plain, large).as_py()]))
    if is_label(path):
        return column if len(np.unique(column.data)) == pc.count_distinct(cells).as_py() else None
    return _exact(column, rows)


def typed_column(cells: pa.ChunkedArray, path: str) -> Column:
    """Cells of a Parquet file: null and NaN are absent, text stays text, decimals and dates become what they say.

    Raises:
        InvalidValue: a cell that cannot be kept exactly, with its row; a type that has no word in JSON.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    values: Any = cells.combine_chunks() if isinstance(cells, pa.ChunkedArray) else cells
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    kind = values.type
    if pa.types.is_decimal(kind):
        return text_column(values.cast(pa.string()), path)
    if pa.types.is_nested(kind):
        return json_column(values.to_pylist(), path)
    mask = values.is_valid().to_numpy(zero_copy_only=False)
    if pa.types.is_boolean(kind):
        return _spread(mask, Column("bool", values.drop_null().to_numpy(zero_copy_only=False)))
    if pa.types.is_floating(kind):
        mask &= ~pc.fill_null(pc.is_nan(values), True).to_numpy(zero_copy_only=False)
        data = values.filter(pa.array(mask)).cast(pa.float64()).to_numpy(zero_copy_only=False) + 0.0
        _refuse_infinite(data, np.flatnonzero(mask))
        return _spread(mask, Column("float", data))
    if pa.types.is_integer(kind):
        rows, kept = np.flatnonzero(mask), values.drop_null()
        try:
            return _spread(mask, _exact(Column("int", kept.cast(pa.int64()).to_numpy()), rows, path))
        except pa.ArrowInvalid:  # uint64 beyond int64
            if is_label(path):
                return _strings(values.cast(pa.string()))
            i = int(pc.index(kept, pc.max(kept)).as_py())
            raise _inexact(kept[i].as_py(), int(rows[i])) from None
    is_plain = pa.types.is_null(kind) or pa.types.is_date(kind) or pa.types.is_time(kind) or pa.types.is_timestamp(kind)
    with contextlib.suppress(pa.ArrowException):  # bytes that are not UTF-8
        if is_plain or "string" in str(kind) or "binary" in str(kind):
            return _strings(values.cast(pa.string()))
    raise InvalidValue(
        f"values of the type {kind} are neither text nor numbers", hint="write the column as text or as numbers"
    )


def json_column(cells: Sequence[Any], path: str) -> Column:
    """JSON values: null and NaN are absent.

    Raises:
        InvalidValue: a value that cannot be kept exactly, with its row.
    """
    mask = np.array([not (value is None or value != value) for value in cells], dtype=bool)
    rows, kept = np.flatnonzero(mask), [value for value, own in zip(cells, mask, strict=True) if own]
    for i, value in zip(rows.tolist(), kept, strict=True):
        is_large = isinstance(value, int) and abs(value) > MAX_EXACT
        if is_large and not is_label(path):
            raise _inexact(value, i)
        if value in (np.inf, -np.inf):
            raise _infinite(value, i)
    kinds = {type(value) for value in kept}
    is_large = any(isinstance(value, int) and abs(value) >= 2**63 for value in kept)
    has_large = any(isinstance(value, int) and abs(value) > MAX_EXACT for value in kept)
    if has_large and (is_large or kinds != {int}):  # an identifier: as text it keeps its digits
        kept = [str(value) if isinstance(value, int) and not isinstance(value, bool) else value for value in kept]
    return _spread(mask, column_of(kept))


def _exact(column: Column, rows: np.ndarray, path: str = "") -> Column:
    """The column, if its integers have canonical JSON, or nothing needs it."""
    if column.kind == "int" and not is_label(path):
        bad = np.flatnonzero((column.data > MAX_EXACT) | (column.data < -MAX_EXACT))
        if bad.size:
            raise _inexact(int(column.data[bad[0]]), int(rows[bad[0]]))
    return column


def _inexact(value: Any, row: int) -> InvalidValue:
    hint = "as a tag it keeps every digit"
    return InvalidValue(f"row {row + 1} holds {value}, beyond 2^53, where numbers stop being exact", hint=hint)


def _refuse_infinite(data: np.ndarray, rows: np.ndarray) -> None:
    bad = np.flatnonzero(~np.isfinite(data))
    if bad.size:
        raise _infinite(float(data[bad[0]]), int(rows[bad[0]]))


def _infinite(value: float, row: int) -> InvalidValue:
    return InvalidValue(f"row {row + 1} holds {value}, which is not a finite number", hint="leave that row out")


def _strings(cells: pa.Array) -> Column:
    """Text as it is; null is absent."""
    import pyarrow as pa
    import pyarrow.compute as pc

    mask = cells.is_valid().to_numpy(zero_copy_only=False)
    coded = cells.cast(pa.string()).dictionary_encode()
    codes = pc.fill_null(coded.indices, 0).to_numpy(zero_copy_only=False).astype(np.int32)
    return Column("string", codes, tuple(coded.dictionary.to_pylist()), None if mask.all() else mask)


def _spread(mask: np.ndarray, filled: Column) -> Column:
    """A column of all cells from those that are filled."""
    return filled if mask.all() else scatter(len(mask), [(np.flatnonzero(mask), filled)])
