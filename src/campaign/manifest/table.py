"""The `file` operator: rows of a CSV, Parquet or JSON file as columns."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from campaign import data
from campaign.errors import CampaignError, DataFileError, Diagnostic, nearest
from campaign.manifest.columns import Column, Columns, column_of
from campaign.manifest.diagnose import pointer

if TYPE_CHECKING:
    import pyarrow as pa

FORMATS = (".csv", ".parquet", ".json", ".jsonl")


def file_columns(
    name: str, mapping: Mapping[str, str] | None, folder: Path, place: str, found: list[Diagnostic]
) -> Columns | None:
    """Columns of a file.

    Args:
        name: path relative to the manifest, or of a known data set.
        mapping: axis path → name of a column of the file; None: the file's columns are named by axis paths.
        folder: of the manifest.
        place: where the manifest says so.
        found: what is wrong goes here, and None comes back. Empty cells, nulls and NaN are absent values.
    """
    try:
        table = _read(data.find(name, folder))
    except CampaignError as error:
        found.append(Diagnostic(place=pointer(place, "path"), message=error.message, hint=error.hint))
        return None
    columns: Columns = {}
    for path, column in (mapping or {c: c for c in table.column_names}).items():
        if column not in table.column_names:
            where = pointer(place, "columns", path)
            message = f"the file `{name}` has no column `{column}`"
            found.append(Diagnostic(place=where, message=message, hint=nearest(column, table.column_names)))
            continue
        columns[path] = arrow_column(table.column(column))
    if not columns or table.num_rows == 0:
        found.append(Diagnostic(place=pointer(place, "path"), message=f"the file `{name}` has no rows"))
        return None
    return columns


def _read(path: Path) -> pa.Table:
    """Any of `FORMATS` as a table.

    Raises:
        DataFileError: another format, or malformed.
    """
    import pyarrow as pa
    from pyarrow import csv, parquet

    try:
        match path.suffix.lower():
            case ".csv":
                return csv.read_csv(path)
            case ".parquet":
                return parquet.read_table(path)
            case ".jsonl":
                return _rows([json.loads(line) for line in path.read_text().splitlines() if line.strip()])
            case ".json":
                return _rows(json.loads(path.read_text()))
    except (pa.ArrowException, ValueError, OSError, RecursionError) as error:
        raise DataFileError(f"the file `{path.name}` cannot be read: {str(error).splitlines()[0]}") from error
    raise DataFileError(f"the file `{path.name}` is of no known format", hint=f"valid: {', '.join(FORMATS)}")


def _rows(rows: Any) -> pa.Table:
    import pyarrow as pa

    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError("a JSON file of points is a list of objects")
    keys = list(dict.fromkeys(key for row in rows for key in row))
    return pa.table({key: pa.array([row.get(key) for row in rows]) for key in keys})


def arrow_column(values: pa.ChunkedArray | pa.Array) -> Column:
    """An Arrow column as a `Column`; nulls and NaN are absent."""
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
