"""Summaries → `tables/summary.parquet`: a row a planned run, in plan order, in bounded memory, published by rename."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from campaign.errors import Damage
from campaign.reduce.assembling import WINDOW, windows
from campaign.reduce.blocks import Damaged
from campaign.reduce.planned import PlannedStage, planned_stages, stage_names
from campaign.reduce.reading import Blocks
from campaign.reduce.schema import table_schema
from campaign.reduce.sealing import BLANK, FIELD, seal_file
from campaign.store.atomic import publishing
from campaign.store.layout import Layout
from campaign.store.records import read_json

_WRITING: dict[str, Any] = {"compression": "zstd", "compression_level": 1, "write_statistics": True}


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
    """Rebuild the table from the plan and whatever summaries are published; a live campaign is as good as a done one.

    Args:
        layout: of the campaign.
        stages: only these stages; the table then holds no others.

    Raises:
        UnknownName: a stage that has no plan.
        Damage: the plan itself cannot be read.
    """
    begun = time.monotonic()
    n_rows = n_done = 0
    damaged: list[Damaged] = []
    with publishing(layout.table) as temporary:
        temporary.touch()
        stamp = temporary.stat().st_mtime_ns
        planned = planned_stages(layout, stages)
        declared = {stage.name: _declarations(layout, stage) for stage in planned}
        schema = table_schema(planned, (p for found in declared.values() for p in found.values()))
        with pq.ParquetWriter(temporary, schema, use_dictionary=_repetitive(schema), **_WRITING) as writer:  # pyright: ignore[reportArgumentType]
            for stage in planned:
                blocks = Blocks(layout, stage, declared[stage.name])
                for window in windows(layout, stage, blocks, schema):
                    writer.write_table(window, row_group_size=WINDOW)
                    n_rows += window.num_rows
                    n_done += window.num_rows - window.column("status").null_count
                damaged += blocks.damaged
            writer.add_key_value_metadata({FIELD: BLANK})
        seal_file(temporary)
        os.utime(temporary, ns=(stamp, stamp))
    return ReduceReport(n_rows=n_rows, n_done=n_done, seconds=time.monotonic() - begun, damaged=tuple(damaged))


def is_current(layout: Layout) -> bool:
    """Whether the table holds everything that is published. Costs two time stamps a stage.

    The table's time stamp is the moment at which its reading began; publishing a block or a plan changes its folder's.
    """
    try:
        made = layout.table.stat().st_mtime_ns
    except FileNotFoundError:
        return False
    names = stage_names(layout)
    folders = [layout.plan_folder(name) for name in names] + [layout.summaries_folder(name) for name in names]
    return all(folder.stat().st_mtime_ns < made for folder in folders if folder.exists())


def _repetitive(schema: pa.Schema) -> list[str]:
    """Columns that are worth a dictionary: axes, and whatever is not a float; not the run ids."""
    axes = ("problem", "engine", "start", "scale", "tag")
    return [
        f.name
        for f in schema
        if f.name != "run_id" and (f.name.partition(".")[0] in axes or not pa.types.is_floating(f.type))
    ]


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
