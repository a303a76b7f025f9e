"""Results of many runs of a stage as arrays: for runs that read all runs of an earlier stage. Reads only.

A field is a column of the summary table (`loss`, `theta.rate`), several of them (`theta.*`), an array on disk
(`covariance`, or a trace: `theta`, `trace.loss`), or a coordinate (`parameter`). A column goes before an array of the
same name; `trace.<name>` always means the array.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from campaign.errors import Damage, UnknownName, nearest
from campaign.store.layout import Layout

TRACE = "trace."
PARAMETER = "parameter"  # coordinate: names of the free parameters
PLAIN = frozenset(  # columns of every table whose names have no dot
    (
        *("status", "outcome", "message", "loss", "loss_initial", "n_steps", "n_evaluations"),
        *("runtime_s", "compile_s", "label", "replicate", "attempt", "seed"),
    )
)
_ADDRESS = ("run_id", "program", "row")


def gather(layout: Layout, stage: str, run_ids: Sequence[str], fields: Iterable[str]) -> dict[str, np.ndarray]:
    """Fields of runs of a stage.

    Args:
        layout, stage: where they lie.
        run_ids: which runs, in the order of the answer.
        fields: what of them.

    Returns:
        Name → array with a leading axis of runs. Numbers that are null are NaN, steps that a run did not reach too; a
        coordinate is repeated for each run.

    Raises:
        UnknownName: a field that the runs do not have.
        Damage: a run that is not in the table, or arrays of runs that differ in shape.
    """
    path = layout.table
    try:
        state = path.stat()
        names = tuple(pq.read_schema(path).names)
        wanted = {field: _columns_of(field, names) for field in fields}
        needed = tuple(dict.fromkeys(name for found in wanted.values() for name in found))
        rows = _rows(path, (state.st_ino, state.st_mtime_ns), stage, needed)
    except (OSError, pa.ArrowException) as error:
        raise Damage(f"the table {path} cannot be read: {error}", hint="run `campaign reduce`") from error
    index = pc.index_in(pa.array(run_ids, type=pa.string()), value_set=rows.column("run_id"))
    if index.null_count:
        message = f"{index.null_count:,} of {len(run_ids):,} runs of stage `{stage}` are not in the table"
        raise Damage(message, hint="run `campaign resume`")
    rows = rows.take(index).combine_chunks()
    gathered: dict[str, np.ndarray] = {}
    for field, found in wanted.items():
        filled = {name: rows.column(name) for name in found if rows.column(name).null_count < rows.num_rows}
        if filled:
            gathered |= {name: _values(column) for name, column in filled.items()}
        else:
            gathered[field] = _array(layout, stage, field, rows)
    return gathered


def _columns_of(field: str, names: Sequence[str]) -> tuple[str, ...]:
    """The columns that a field means."""
    if field.endswith(".*"):
        return tuple(name for name in names if name.startswith(field[:-1]))
    return (field,) if field in names else ()


@lru_cache(maxsize=4)
def _rows(path: Path, version: tuple[int, int], stage: str, columns: tuple[str, ...]) -> pa.Table:
    """Rows of a stage; `version` is inode and time of the file."""
    wanted = list(dict.fromkeys((*_ADDRESS, *columns)))
    return pq.read_table(path, columns=wanted, filters=[("stage", "=", stage)]).combine_chunks()


def _values(column: pa.ChunkedArray) -> np.ndarray:
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return np.array(column.fill_null("").to_pylist(), dtype=str)
    if pa.types.is_boolean(column.type):
        return column.fill_null(False).to_numpy()
    return column.to_numpy()


def _array(layout: Layout, stage: str, field: str, rows: pa.Table) -> np.ndarray:
    """An array on disk, for each run; runs of several programs are put together."""
    import zarr

    name = field.removeprefix(TRACE)
    programs = np.array(rows.column("program").to_pylist(), dtype=str)
    row = rows.column("row").to_numpy()
    whole: np.ndarray | None = None
    for program in np.unique(programs).tolist():
        at = np.flatnonzero(programs == program)
        group = layout.trace_group(stage, program)
        if not (group / name / "zarr.json").is_file():
            known = [p.parent.name for p in group.glob("*/zarr.json")]
            message = f"the runs of stage `{stage}` have no field `{field}`"
            raise UnknownName(message, hint=nearest(name, (*known, *rows.column_names)))
        array: Any = zarr.open_array(store=group / name, mode="r")
        if (array.metadata.dimension_names or ("",))[0] == "run":
            part = np.asarray(array.oindex[row[at]])
        else:
            part = np.broadcast_to(np.asarray(array[...]), (len(at), *array.shape))
        if whole is None:
            whole = np.empty((len(row), *part.shape[1:]), part.dtype)
        if whole.shape[1:] != part.shape[1:]:
            message = (
                f"`{field}` of the runs of stage `{stage}` has different shapes: {whole.shape[1:]}, {part.shape[1:]}"
            )
            raise Damage(message, hint="make groups of one shape: `start.by`")
        whole[at] = part
    if whole is None:
        raise UnknownName(f"no runs to take `{field}` of")
    return whole


def array_of(field: str) -> str | None:
    """Name of the array that a field means whatever the table holds; None for columns."""
    if field.startswith(TRACE):
        return field.removeprefix(TRACE)
    return None if "." in field or field in PLAIN else field


def known_fields(rows: pa.Table, arrays: Iterable[str]) -> frozenset[str]:
    """What can be gathered of summary rows: columns that are not empty, arrays by both their names."""
    columns = {name for name in rows.column_names if rows.column(name).null_count < rows.num_rows}
    return frozenset(columns | {*arrays} | {TRACE + name for name in arrays})


def array_names(programs: Iterable[Mapping[str, Any]]) -> frozenset[str]:
    """Arrays that programs declare (`programs/<stage>/<program>.json`), with the coordinate of parameters."""
    names = {name for program in programs for name in program.get("trace", {})}
    return frozenset(names | {PARAMETER} if names else names)
