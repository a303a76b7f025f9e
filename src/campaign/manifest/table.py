"""The `file` operator: rows of a CSV, Parquet or JSON file as columns."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from campaign import data
from campaign.errors import CampaignError, Diagnostic, InvalidValue, nearest
from campaign.manifest.cells import is_label, json_column, text_column, typed_column
from campaign.manifest.columns import Column, Columns, column_of
from campaign.manifest.diagnose import pointer
from campaign.manifest.reading import read_columns

if TYPE_CHECKING:
    import pyarrow as pa

KEYS = ("path", "columns", "missing", "encoding")
REFUSE, DEFAULT = "refuse", "default"  # what an empty cell means outside of tags


def file_columns(body: Mapping[str, Any], folder: Path, place: str, found: list[Diagnostic]) -> Columns | None:
    """Columns of a file.

    Args:
        body: `path`: relative to the manifest, or of a known data set; `columns`: axis path → name of a column of the
            file, whose columns are named by axis paths where it is left out; `missing`: "default" where an empty cell
            means the stage's own value; `encoding` of the text.
        folder: of the manifest.
        place: where the manifest says so.
        found: what is wrong goes here, and None comes back.
    """
    name, before = body["path"], len(found)
    try:
        cells, is_text = read_columns(data.find(name, folder), body.get("encoding"))
    except CampaignError as error:
        found.append(Diagnostic.of(pointer(place, "path"), error))
        return None
    mapping = body.get("columns")
    columns: Columns = {}
    for path, own in (mapping or {c: c for c in cells}).items():
        where = pointer(place, "columns", path) if mapping else pointer(place, "path")
        if own not in cells:
            message = f"the file `{name}` has no column `{own}`"
            found.append(Diagnostic(place=where, message=message, hint=nearest(own, cells)))
            continue
        try:
            column = _column(cells[own], path, is_text=is_text)
            columns[path] = column if body.get("missing") == DEFAULT or is_label(path) else _whole(column)
        except CampaignError as error:
            message = f"column `{own}` of the file `{name}`: {error.message}"
            found.append(Diagnostic(place=where, message=message, hint=error.hint))
    if len(found) > before:
        return None
    if not columns or not len(next(iter(columns.values()))):
        found.append(Diagnostic(place=pointer(place, "path"), message=f"the file `{name}` has no rows"))
        return None
    return columns


def _column(cells: Any, path: str, *, is_text: bool) -> Column:
    if isinstance(cells, list):
        return json_column(cells, path)
    return text_column(cells, path) if is_text else typed_column(cells, path)


def _whole(column: Column) -> Column:
    """The column, if every cell is filled.

    Raises:
        InvalidValue: an empty cell, with its row.
    """
    if column.present is None or column.present.all():
        return column
    empty = np.flatnonzero(~column.present)
    raise InvalidValue(
        f"{len(empty):,} of {len(column):,} cells are empty, the first in row {int(empty[0]) + 1}",
        hint='fill them, or write "missing": "default" where an empty cell means the stage\'s own value',
    )


def arrow_column(values: pa.ChunkedArray | pa.Array) -> Column:
    """A column of our own tables as a `Column`; nulls and what is not finite are absent."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    kind = values.type
    if pa.types.is_dictionary(kind):
        values, kind = values.cast(kind.value_type), kind.value_type
    valid = values.is_valid()
    for is_kind, name, fill in (
        (pa.types.is_boolean, "bool", False),
        (pa.types.is_integer, "int", 0),
        (pa.types.is_floating, "float", 0.0),
    ):
        if is_kind(kind):
            if name == "float":
                valid = pc.fill_null(pc.is_finite(values), False)
            target = {"bool": pa.bool_(), "int": pa.int64(), "float": pa.float64()}[name]
            array = pc.fill_null(values.cast(target), fill).to_numpy(zero_copy_only=False)
            mask = valid.to_numpy(zero_copy_only=False)
            array = np.where(mask, array, fill) + (0.0 if name == "float" else fill)
            return Column(name, array, (), None if mask.all() else mask)
    if pa.types.is_nested(kind):
        mask = valid.to_numpy(zero_copy_only=False)
        column = column_of(values.to_pylist())
        return Column(column.kind, column.data, column.values, None if mask.all() else mask)
    coded = values.cast(pa.string()).dictionary_encode()
    mask = valid.to_numpy(zero_copy_only=False)
    codes = pc.fill_null(coded.indices, 0).to_numpy(zero_copy_only=False).astype(np.int32)
    return Column("string", codes, tuple(coded.dictionary.to_pylist()), None if mask.all() else mask)
