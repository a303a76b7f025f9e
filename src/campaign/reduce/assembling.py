"""The rows of a stage in plan order: plan columns beside the results of the blocks that hold them, window by window."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from campaign.reduce.planned import PlannedStage
from campaign.reduce.reading import Address, Blocks
from campaign.store import plan
from campaign.store.layout import Layout

WINDOW = 65_536  # rows in memory, and of a Parquet row group


def windows(layout: Layout, stage: PlannedStage, blocks: Blocks, schema: pa.Schema) -> Iterator[pa.Table]:
    """The rows of a stage in plan order; a run that is not finished has nulls where its results would be."""
    earlier = _earlier_addresses(layout, stage, blocks.published)
    with pq.ParquetFile(stage.rows) as file:
        for planned in file.iter_batches(batch_size=WINDOW):
            yield _window(planned, stage, blocks, earlier, schema)


def _window(
    planned: pa.RecordBatch, stage: PlannedStage, blocks: Blocks, earlier: Mapping[str, Address], schema: pa.Schema
) -> pa.Table:
    n = planned.num_rows
    rows_of: dict[Address, np.ndarray] = _group(planned, earlier)
    pieces: list[pa.RecordBatch] = []
    where = np.full(n, -1, dtype=np.int64)
    n_found = 0
    run_ids = planned.column("run_id")
    published = [address for address in rows_of if address[1:] in blocks.published]
    for address, batch in zip(published, blocks.load(published), strict=True):
        rows = rows_of[address]
        wanted = run_ids.slice(rows[0], len(rows)) if rows[-1] - rows[0] == len(rows) - 1 else run_ids.take(rows)
        if not batch.column("run_id").equals(wanted):
            found = _newest(batch, wanted)
            rows, batch = rows[found >= 0], batch.take(pa.array(found[found >= 0]))
        where[rows] = np.arange(n_found, n_found + batch.num_rows)
        n_found += batch.num_rows
        pieces.append(batch)
    results = _gathered(pieces, where)
    return pa.table([_column(field, planned, stage, results, n) for field in schema], schema=schema)


def _group(planned: pa.RecordBatch, earlier: Mapping[str, Address]) -> dict[Address, np.ndarray]:
    """Where the window's runs have their summaries → positions in the window, ascending."""
    part = planned.column("part").to_numpy(zero_copy_only=False).astype(np.int64)
    block = planned.column("block").to_numpy(zero_copy_only=False).astype(np.int64)
    program = planned.column("program")
    groups: dict[Address, list[np.ndarray]] = {}
    moved = np.zeros(len(part), bool)
    if earlier:
        for i, run_id in enumerate(planned.column("run_id").to_pylist()):
            if run_id in earlier:
                groups.setdefault(earlier[run_id], []).append(np.array([i]))
                moved[i] = True
    key = np.where(moved, -1, part << 32 | block)
    order = np.argsort(key, kind="stable")
    order = order[np.count_nonzero(moved) :]
    cuts = np.flatnonzero(np.diff(key[order])) + 1
    for rows in np.split(order, cuts) if len(order) else []:
        i = int(rows[0])
        groups.setdefault((program[i].as_py(), int(part[i]), int(block[i])), []).append(rows)
    return {address: np.sort(np.concatenate(rows)) for address, rows in groups.items()}


def _newest(batch: pa.RecordBatch, wanted: pa.Array) -> np.ndarray:
    """For every wanted run id its row in a batch, −1 where there is none; the highest attempt counts, then the last."""
    attempt = pc.fill_null(batch.column("attempt"), 0).to_numpy()
    order = np.lexsort((np.arange(batch.num_rows), attempt))[::-1]
    found = pc.index_in(wanted, value_set=batch.column("run_id").take(pa.array(order)))
    index = pc.fill_null(found, -1).to_numpy()
    return np.where(index >= 0, order[index], -1) if batch.num_rows else np.full(len(wanted), -1)


def _gathered(pieces: Sequence[pa.RecordBatch], where: np.ndarray) -> dict[str, pa.Array]:
    """Columns over the window from the pieces' rows; null where `where` is −1."""
    names = dict.fromkeys(name for piece in pieces for name in piece.schema.names)
    n_found = sum(piece.num_rows for piece in pieces)
    as_they_are = n_found == len(where) and bool((where == np.arange(n_found)).all())
    indices = None if as_they_are else pa.array(where, mask=where < 0)
    gathered = {}
    for name in names:
        kind = next(piece.schema.field(name).type for piece in pieces if name in piece.schema.names)
        arrays = [
            piece.column(name) if name in piece.schema.names else pa.nulls(piece.num_rows, kind) for piece in pieces
        ]
        column = arrays[0] if len(arrays) == 1 else pa.concat_arrays(arrays)
        gathered[name] = column if indices is None else column.take(indices)
    return gathered


def _column(
    field: pa.Field, planned: pa.RecordBatch, stage: PlannedStage, results: Mapping[str, pa.Array], n: int
) -> pa.Array:
    """One column of the table: identity and axes from the plan, the rest from the summaries."""
    name = field.name
    if name == "stage":
        return pa.repeat(pa.scalar(stage.name, field.type), n)
    if name == "seed":
        return pa.repeat(pa.scalar(stage.header.get("seed"), field.type), n)
    if name in ("problem", "engine"):
        return _by_program(planned.column("program"), {p: e[name]["name"] for p, e in stage.programs.items()})
    if name in ("program", "part", "block", "row", "attempt"):
        ours = _as_type(planned.column(name), field.type)
        return pc.coalesce(results[name], ours) if name in results else ours
    if name in planned.schema.names:
        return _as_type(planned.column(name), field.type)
    return results[name] if name in results else pa.nulls(n, field.type)


def _by_program(program: pa.Array, names: Mapping[str, str]) -> pa.Array:
    encoded = program if pa.types.is_dictionary(program.type) else program.dictionary_encode()
    values = pa.array([names.get(p) for p in encoded.dictionary.to_pylist()], pa.string())
    return values.take(encoded.indices)


def _as_type(column: pa.Array, kind: pa.DataType) -> pa.Array:
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    return column if column.type == kind else column.cast(kind)


def _earlier_addresses(layout: Layout, stage: PlannedStage, done: set[tuple[int, int]]) -> dict[str, Address]:
    """Runs that are planned again but not finished again: where their newest published summary is.

    Only attempts above 0 can have one. Costs one pass over two columns where nothing was ever retried.
    """
    waiting: set[str] = set()
    with pq.ParquetFile(stage.rows) as file:
        for batch in file.iter_batches(batch_size=WINDOW, columns=["attempt", "part", "block", "run_id"]):
            again = batch.filter(pc.greater(batch.column("attempt"), 0))
            for run in again.to_pylist():
                if (run["part"], run["block"]) not in done:
                    waiting.add(run["run_id"])
    addresses: dict[str, Address] = {}
    for part in reversed(plan.parts(layout, stage.name)[:-1]):
        if waiting:
            for run in _rows_of(layout, stage.name, part, waiting):
                if (run["part"], run["block"]) in done and run["run_id"] in waiting:
                    addresses[run["run_id"]] = (run["program"], run["part"], run["block"])
            waiting -= addresses.keys()
    return addresses


def _rows_of(layout: Layout, stage: str, part: int, run_ids: Iterable[str]) -> Iterator[dict[str, Any]]:
    wanted = pa.array(sorted(run_ids), pa.string())
    with pq.ParquetFile(layout.plan_rows(stage, part)) as file:
        for batch in file.iter_batches(batch_size=WINDOW, columns=["run_id", "program", "part", "block"]):
            yield from batch.filter(pc.is_in(batch.column("run_id"), value_set=wanted)).to_pylist()
