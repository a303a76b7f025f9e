"""The summaries of one block, from JSON lines to typed columns.

The fast way reads the file with Arrow's JSON reader and the declared schema. Whatever that refuses (an unknown field,
a wrong type, a torn line) goes the exact way, record by record, which can say what is wrong, in which run and field.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json

from campaign.reduce.schema import GROUPS, SUMMARY_SCHEMA
from campaign.store.checksum import fault_of_line
from campaign.store.records import dumps, loads

STATUSES = ("ok", "failed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Damaged:
    """One thing in the summaries that cannot be used; its runs count as not finished.

    Attributes:
        place: file, relative to the campaign directory, and line where there is one.
        run_id: the run, or "" where a whole file is meant.
        message: field, value seen, what is valid.
    """

    place: str
    run_id: str
    message: str

    def __str__(self) -> str:
        run = f" (run {self.run_id})" if self.run_id else ""
        return f"{self.place}{run}: {self.message}"


class NotFastError(ValueError):
    """The file needs the exact way."""


class WrongFieldError(ValueError):
    """A value that is not of the declared type."""


def parse_block(
    data: bytes, record: pa.Schema, result: pa.Schema, place: str
) -> tuple[pa.RecordBatch, tuple[Damaged, ...]]:
    """The rows of a summaries file.

    Args:
        data: the file.
        record: nested schema of its lines (`schema.record_schema`).
        result: flat schema of the rows returned (`schema.result_schema`).
        place: what to call the file in messages.

    Returns:
        Rows in the order of the lines, and what had to be left out.
    """
    if not data.endswith(b"\n"):
        return _nothing(result), (Damaged(place=place, run_id="", message="truncated: the last line has no end"),)
    try:
        if any(fault_of_line(line) is not None for line in data[:-1].split(b"\n")):
            raise NotFastError("checksum")
        return _fast(data, record, result), ()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, UnicodeDecodeError, NotFastError):
        return _exact(data, record, result, place)


def _nothing(result: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([], schema=result)


def _fast(data: bytes, record: pa.Schema, result: pa.Schema) -> pa.RecordBatch:
    table = pyarrow.json.read_json(
        pa.BufferReader(data),
        read_options=pyarrow.json.ReadOptions(use_threads=False, block_size=len(data) + 1),
        parse_options=pyarrow.json.ParseOptions(explicit_schema=record, unexpected_field_behavior="error"),
    ).combine_chunks()
    columns = {name: _only_chunk(table.column(name)) for name in record.names if name not in GROUPS}
    for group in GROUPS:
        struct = _only_chunk(table.column(group))
        for i, array in enumerate(struct.flatten()):
            columns[f"{group}.{struct.type[i].name}"] = array
    if table.num_rows != data.count(b"\n"):
        raise NotFastError("blank or joined lines")
    columns["extra"] = pa.nulls(table.num_rows, pa.string())
    for name, valid in (("schema", [SUMMARY_SCHEMA]), ("status", STATUSES)):
        if not pc.all(pc.is_in(columns[name], pa.array(valid, pa.string()))).as_py():
            raise NotFastError(name)
    if columns["run_id"].null_count or not all(_is_finite(columns[f.name]) for f in result):
        raise NotFastError("run_id, NaN or Infinity")
    return pa.RecordBatch.from_arrays([columns[name] for name in result.names], schema=result)


def _is_finite(column: pa.Array) -> bool:
    """Whether a column of numbers has no NaN and no Infinity, which Arrow's reader lets pass: then its sum has none."""
    return not pa.types.is_floating(column.type) or math.isfinite(pc.sum(column).as_py() or 0.0)


def _only_chunk(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks else pa.array([], column.type)


def _exact(data: bytes, record: pa.Schema, result: pa.Schema, place: str) -> tuple[pa.RecordBatch, tuple[Damaged, ...]]:
    rows: list[dict[str, Any]] = []
    damaged: list[Damaged] = []
    for number, line in enumerate(data.splitlines(), 1):
        where = f"{place}, line {number}"
        try:
            seen = loads(line)
        except ValueError as error:
            return _nothing(result), (Damaged(place=where, run_id="", message=f"not JSON ({error})"),)
        try:
            fault = fault_of_line(line)
            if fault is not None:
                raise WrongFieldError(fault)
            rows.append(_row(seen, record))
        except WrongFieldError as error:
            run_id = seen.get("run_id") if isinstance(seen, dict) else ""
            damaged.append(Damaged(place=where, run_id=run_id if isinstance(run_id, str) else "", message=str(error)))
    return pa.RecordBatch.from_pylist(rows, schema=result), tuple(damaged)


def _row(seen: Any, record: pa.Schema) -> dict[str, Any]:
    """One record, flat and typed. Fields that are not declared go to `extra`, under their own place."""
    if not isinstance(seen, dict):
        raise WrongFieldError(f"a record is an object, not {_shown(seen)}")
    row: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    for name, value in seen.items():
        if name in GROUPS:
            declared = {f.name for f in record.field(name).type}
            for key, inner in _mapping(name, value).items():
                if key in declared:
                    row[f"{name}.{key}"] = _typed(f"{name}.{key}", inner, pa.float64())
                else:
                    extra.setdefault(name, {})[key] = inner
        elif name in record.names:
            row[name] = _typed(name, value, record.field(name).type)
        else:
            extra[name] = value
    if row.get("schema") != SUMMARY_SCHEMA:
        raise WrongFieldError(f"`schema` is {_shown(row.get('schema'))}, not `{SUMMARY_SCHEMA}`")
    if not row.get("run_id"):
        raise WrongFieldError("`run_id` is missing")
    if row.get("status") not in STATUSES:
        raise WrongFieldError(f"`status` is {_shown(row.get('status'))}; valid: {', '.join(STATUSES)}")
    row["extra"] = dumps(extra).decode() if extra else None
    return row


def _mapping(name: str, value: Any) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise WrongFieldError(f"`{name}` is {_shown(value)}, not an object")
    return value


def _typed(name: str, value: Any, kind: pa.DataType) -> Any:
    if value is None:
        return None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if pa.types.is_floating(kind):
        if is_number and math.isfinite(value):
            return float(value)
        raise WrongFieldError(f"`{name}` is {_shown(value)}, not a number")
    if pa.types.is_integer(kind):
        if is_number and float(value).is_integer() and abs(int(value)) < 2 ** (kind.bit_width - 1):
            return int(value)
        raise WrongFieldError(f"`{name}` is {_shown(value)}, not an integer")
    if pa.types.is_timestamp(kind):
        return _time(name, value)
    if pa.types.is_list(kind):
        if isinstance(value, list) and all(isinstance(v, str) for v in value):
            return value
        raise WrongFieldError(f"`{name}` is {_shown(value)}, not a list of names")
    if isinstance(value, str):
        return value
    raise WrongFieldError(f"`{name}` is {_shown(value)}, not text")


def _time(name: str, value: Any) -> datetime:
    try:
        time = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise WrongFieldError(f"`{name}` is {_shown(value)}, not an ISO-8601 time") from None
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def _shown(value: Any) -> str:
    text = dumps(value).decode()
    return text if len(text) <= 60 else text[:57] + "…"
