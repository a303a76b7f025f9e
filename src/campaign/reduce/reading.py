"""The published blocks of a stage as typed rows: from memory, from the cache, or from the summaries."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from campaign.reduce import parts
from campaign.reduce.blocks import Damaged, parse_block
from campaign.reduce.planned import PlannedStage
from campaign.reduce.schema import record_schema, result_schema
from campaign.store.layout import Layout
from campaign.store.summaries import published

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
        while self._n_held > ROWS_HELD and len(self._held) > 1:
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
