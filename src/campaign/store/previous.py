"""Where the earlier parts of a plan put the runs of a stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from campaign.store.layout import Layout
from campaign.store.plan import PLACE, PlanPart, parts, read_header, read_rows
from campaign.store.states import kept_blocks


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Previous:
    """Where earlier parts put the runs of a stage.

    Attributes:
        part: number of the latest part.
        places: the columns `PLACE` of every run that any part planned, one row a run, its latest place.
        current: run ids of the latest part.
        programs: header entries of all programs, by name.
        kept: (part, block) of the blocks whose state is kept.
    """

    part: int
    places: pa.Table
    current: pa.Array
    programs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    kept: frozenset[tuple[int, int]] = frozenset()

    @staticmethod
    def of(*parts: PlanPart) -> Previous | None:
        """From parts in ascending order; None of no part."""
        if not parts:
            return None
        places, seen = [], None
        for part in reversed(parts):
            table = part.rows.select(list(PLACE)).combine_chunks()
            if seen is not None:
                table = table.filter(pc.invert(pc.is_in(table.column("run_id"), value_set=seen)))
            places.append(table.set_column(1, "program", table.column("program").cast(pa.string())))
            seen = pa.concat_tables([t.select(["run_id"]) for t in places]).combine_chunks().column("run_id")
        current = parts[-1].rows.column("run_id").combine_chunks()
        return Previous(part=parts[-1].part, places=pa.concat_tables(places).combine_chunks(), current=current)


def previous(layout: Layout, stage: str, *, before: int | None = None) -> Previous | None:
    """Where all earlier parts put their runs, of those before part `before`; None where the stage has no plan."""
    numbers = tuple(number for number in parts(layout, stage) if before is None or number < before)
    if not numbers:
        return None
    own = []  # each part's own placements: what it kept stands in the part that placed it
    for number in numbers:
        rows = read_rows(layout, stage, number, columns=PLACE, own=True)
        own.append(PlanPart(header={"stage": stage, "part": number}, rows=rows))
    found = Previous.of(*own)
    current = read_rows(layout, stage, numbers[-1], columns=["run_id"]).column("run_id").combine_chunks()
    kept = kept_blocks(layout, stage)
    headers = [read_header(layout, stage, number) for number in numbers]
    entries = {name: entry for header in headers for name, entry in header["programs"].items()}
    return None if found is None else replace(found, current=current, programs=entries, kept=kept)
