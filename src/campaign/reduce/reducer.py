"""Summaries → `tables/summary.parquet`: a row a planned run, in plan order, in bounded memory, published by rename."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from campaign.errors import Damage
from campaign.reduce import parts
from campaign.reduce.blocks import Damaged, parse_block
from campaign.reduce.planned import PlannedStage, parts_of, planned_stages
from campaign.reduce.schema import record_schema, result_schema, table_schema
from campaign.store.atomic import publishing
from campaign.store.layout import Layout
from campaign.store.records import read_json
from campaign.store.summaries import published

ROWS_A_GROUP = 65_536  # rows of a Parquet row group, and of the window that is in memory
_ROWS_HELD = 131_072  # rows of blocks kept in memory, where blocks reach over windows
_WRITING: dict[str, Any] = {"compression": "zstd", "compression_level": 1, "write_statistics": True}

Address = tuple[str, int, int]  # program, part, block


@dataclass(frozen=True, slots=True, kw_only=True)
class ReduceReport:
    """What a reduction did.

    Attributes:
        n_rows: planned runs, rows of the table.
        n_done: of those, runs with a published summary.
        seconds: wall time.
        damaged: summaries that could not be used; their runs count as not finished.
    """

    n_rows: int
    n_done: int
    seconds: float
    damaged: tuple[Damaged, ...] = ()


def reduce(layout: Layout, *, stages: Sequence[str] | None = None) -> ReduceReport:
    """Make the table anew from the plan and whatever summaries are published; a live campaign is as good as a done one.

    Args:
        layout: of the campaign.
        stages: only these stages; the table then holds no others.

    Raises:
        UnknownName: a stage that has no plan.
        Damage: the plan itself cannot be read.
    """
    begun = time.monotonic()
    planned = planned_stages(layout, stages)
    declared = {stage.name: _declarations(layout, stage) for stage in planned}
    schema = table_schema(planned, (p for found in declared.values() for p in found.values()))
    n_rows = n_done = 0
    damaged: list[Damaged] = []
    text = [f.name for f in schema if not pa.types.is_floating(f.type)]
    axes = [f.name for f in schema if f.name.partition(".")[0] in ("problem", "engine", "start", "scale", "tag")]
    with (
        publishing(layout.table) as temporary,
        pq.ParquetWriter(temporary, schema, use_dictionary=sorted({*text, *axes} - {"run_id"}), **_WRITING) as writer,
    ):
        for stage in planned:
            blocks = Blocks(layout, stage, declared[stage.name])
            for window in _windows(layout, stage, blocks, schema):
                writer.write_table(window, row_group_size=ROWS_A_GROUP)
                n_rows += window.num_rows
                n_done += window.num_rows - window.column("status").null_count
            damaged += blocks.damaged
    return ReduceReport(n_rows=n_rows, n_done=n_done, seconds=time.monotonic() - begun, damaged=tuple(damaged))


def publish_table(layout: Layout, name: str, table: pa.Table) -> None:
    """Publish another reduction as `tables/<name>.parquet`, whole or not at all."""
    with publishing(layout.named_table(name)) as temporary:
        pq.write_table(table, temporary, **_WRITING)


def _declarations(layout: Layout, stage: PlannedStage) -> dict[str, dict[str, Any]]:
    """What the stage's programs report, for those that have begun."""
    found = {}
    for program in stage.programs:
        try:
            found[program] = read_json(layout.program(stage.name, program))
        except (FileNotFoundError, Damage):
            continue
    return found


class Blocks:
    """Reads the published blocks of a stage, each at most once while it is needed.

    Attributes:
        published: (part, block) of what is on disk.
        damaged: what could not be used so far.
    """

    def __init__(self, layout: Layout, stage: PlannedStage, declared: Mapping[str, Mapping[str, Any]]) -> None:
        self.published = published(layout, stage.name)
        self.damaged: list[Damaged] = []
        self._layout = layout
        self._stage = stage.name
        self._declared = declared
        self._schemas: dict[str, tuple[pa.Schema, pa.Schema]] = {}
        self._held: OrderedDict[tuple[int, int], pa.RecordBatch] = OrderedDict()
        self._n_held = 0
        self._seen: set[tuple[int, int]] = set()

    def load(self, program: str, part: int, block: int) -> pa.RecordBatch:
        """The typed rows of a published block: from memory, from the cache, or from the summaries."""
        key = (part, block)
        batch = self._held.get(key)
        if batch is None:
            batch = self._held[key] = self._read(program, part, block)
            self._n_held += batch.num_rows
        self._held.move_to_end(key)
        while self._n_held > _ROWS_HELD and len(self._held) > 1:
            self._n_held -= self._held.popitem(last=False)[1].num_rows
        return batch

    def _read(self, program: str, part: int, block: int) -> pa.RecordBatch:
        if program not in self._schemas:
            declared = self._declared.get(program)
            self._schemas[program] = record_schema(declared), result_schema(declared)
        record, result = self._schemas[program]
        path = self._layout.summaries(self._stage, part, block)
        cache = self._layout.table_part(self._stage, part, block)
        try:
            made_from = parts.signature(path, result)
            batch = parts.load(cache, made_from, result)
            if batch is None:
                place = str(path.relative_to(self._layout.root))
                batch, damaged = parse_block(path.read_bytes(), record, result, place)
                if (part, block) not in self._seen:
                    self.damaged += damaged
                if not damaged:  # a damaged block is read again, and named again, next time
                    parts.keep(cache, made_from, batch)
        except FileNotFoundError:  # moved aside by a repair since the listing
            batch = pa.RecordBatch.from_pylist([], schema=result)
        self._seen.add((part, block))
        return batch


def _windows(layout: Layout, stage: PlannedStage, blocks: Blocks, schema: pa.Schema) -> Iterator[pa.Table]:
    """The rows of a stage in plan order, a window at a time."""
    earlier = _earlier_addresses(layout, stage, blocks.published)
    with pq.ParquetFile(stage.rows) as file:
        for planned in file.iter_batches(batch_size=ROWS_A_GROUP):
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
    for (program, part, block), rows in rows_of.items():
        if (part, block) not in blocks.published:
            continue
        batch = blocks.load(program, part, block)
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
    """Runs that are planned anew but not finished anew: where their newest published summary is.

    Only attempts above 0 can have one. Costs one pass over two columns where nothing was ever retried.
    """
    waiting: set[str] = set()
    with pq.ParquetFile(stage.rows) as file:
        for batch in file.iter_batches(batch_size=ROWS_A_GROUP, columns=["attempt", "part", "block", "run_id"]):
            again = batch.filter(pc.greater(batch.column("attempt"), 0))
            for run in again.to_pylist():
                if (run["part"], run["block"]) not in done:
                    waiting.add(run["run_id"])
    addresses: dict[str, Address] = {}
    for part in reversed(parts_of(layout, stage.name)[:-1]):
        if waiting:
            for run in _rows_of(layout, stage.name, part, waiting):
                if (run["part"], run["block"]) in done and run["run_id"] in waiting:
                    addresses[run["run_id"]] = (run["program"], run["part"], run["block"])
            waiting -= addresses.keys()
    return addresses


def _rows_of(layout: Layout, stage: str, part: int, run_ids: Iterable[str]) -> Iterator[dict[str, Any]]:
    wanted = pa.array(sorted(run_ids), pa.string())
    with pq.ParquetFile(layout.plan_rows(stage, part)) as file:
        for batch in file.iter_batches(batch_size=ROWS_A_GROUP, columns=["run_id", "program", "part", "block"]):
            yield from batch.filter(pc.is_in(batch.column("run_id"), value_set=wanted)).to_pylist()
