"""The published blocks of a stage as typed rows: from memory, from the cache, or from the summaries."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa

from campaign.reduce import parts
from campaign.reduce.blocks import Damaged, parse_block
from campaign.reduce.planned import PlannedStage
from campaign.reduce.schema import record_schema, result_schema
from campaign.store.layout import Layout
from campaign.store.summaries import published

Address = tuple[str, int, int]  # program, part, block
Schemas = tuple[pa.Schema, pa.Schema]  # of the lines, of the rows
THREADS = 4
ROWS_HELD = 131_072  # rows of blocks kept in memory, where blocks reach over windows


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
        self._schemas: dict[str, Schemas] = {}
        self._held: OrderedDict[tuple[int, int], pa.RecordBatch] = OrderedDict()
        self._n_held = 0
        self._seen: set[tuple[int, int]] = set()

    def load(self, addresses: Sequence[Address]) -> list[pa.RecordBatch]:
        """The typed rows of published blocks (program, part, block): from memory, the cache, or the summaries.

        Arrow parses without the interpreter, so threads share the work.
        """
        missing = [address for address in addresses if address[1:] not in self._held]
        for program in {program for program, _, _ in missing} - self._schemas.keys():
            self._schemas[program] = schemas_of(self._declared.get(program))
        with ThreadPoolExecutor(THREADS) as pool:
            for address, (batch, damaged) in zip(missing, pool.map(self._read, missing), strict=True):
                key = address[1:]
                if key not in self._seen:
                    self.damaged += damaged
                self._seen.add(key)
                self._held[key] = batch
                self._n_held += batch.num_rows
        found = [self._held[address[1:]] for address in addresses]
        for address in addresses:
            self._held.move_to_end(address[1:])
        while self._n_held > ROWS_HELD and len(self._held) > 1:
            self._n_held -= self._held.popitem(last=False)[1].num_rows
        return found

    def _read(self, address: Address) -> tuple[pa.RecordBatch, Sequence[Damaged]]:
        program, part, block = address
        return read_rows(self._layout, self._stage, part, block, self._schemas[program])


def schemas_of(declared: Mapping[str, Any] | None) -> Schemas:
    """The schema of a program's lines, and of the rows made from them; None: it has declared nothing yet."""
    return record_schema(declared), result_schema(declared)


def read_rows(
    layout: Layout, stage: str, part: int, block: int, schemas: Schemas
) -> tuple[pa.RecordBatch, Sequence[Damaged]]:
    """The typed rows of one published block, from the cache or from its summaries, which are cached then."""
    record, result = schemas
    path, cache = layout.summaries(stage, part, block), layout.table_part(stage, part, block)
    damaged: Sequence[Damaged] = ()
    try:
        made_from = parts.signature(path, result)
        batch = parts.load(cache, made_from, result)
        if batch is None:
            batch, damaged = parse_block(path.read_bytes(), record, result, str(path.relative_to(layout.root)))
            if not damaged:  # a damaged block is read again, and named again, next time
                parts.keep(cache, made_from, batch)
    except FileNotFoundError:  # moved aside by a repair since the listing
        batch = pa.RecordBatch.from_pylist([], schema=result)
    return batch, damaged
