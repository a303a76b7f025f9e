"""Choosing runs: by id prefix, `last`, state, and condition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from campaign.analysis.journal import Journal
from campaign.errors import Damage, UnknownName, UsageError, nearest
from campaign.reduce.planned import stage_names
from campaign.store import plan
from campaign.store.layout import Layout
from campaign.store.records import loads
from campaign.store.summaries import published, read_block

MAX_DOUBLE = 2**53  # beyond it neighbouring integers are one double
STATES = ("all", "ok", "failed", "done", "pending")
_PLACE = ["run_id", "program", "part", "block", "row", "attempt"]


class Condition(Protocol):
    """What `--where` is parsed to: true or false for every row, from columns by dotted name."""

    @property
    def names(self) -> tuple[str, ...]: ...

    def mask(self, columns: Mapping[str, np.ndarray]) -> np.ndarray: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Where a run is kept: its stage, trace group, block and row."""

    stage: str
    run_id: str
    program: str
    part: int
    block: int
    row: int
    attempt: int
    is_done: bool


def find(layout: Layout, selector: str, *, stage: str | None = None) -> Run:
    """The one run that a selector means.

    Args:
        layout: of the campaign.
        selector: the beginning of a run id, or "last": the run that was published last.
        stage: where to look; None for all stages, of which the last counts when an id is in several.

    Raises:
        UnknownName: no such run.
        UsageError: the prefix fits several runs; names some.
    """
    if selector == "last":
        selector = _last(layout)
    stages = stage_names(layout) if stage is None else [stage]
    if stage is not None and stage not in stage_names(layout):
        raise UnknownName(f"stage `{stage}` has no plan", hint=nearest(stage, stage_names(layout)))
    matches = {name: _with_prefix(layout, name, selector) for name in stages}
    run_ids = sorted({row["run_id"] for rows in matches.values() for row in rows})
    if not run_ids:
        raise UnknownName(f"no run begins with `{selector}`", hint="`campaign ls` lists the runs")
    if len(run_ids) > 1:
        shown = ", ".join(run_ids[:4]) + (", …" if len(run_ids) > 4 else "")
        raise UsageError(f"`{selector}` is the beginning of {len(run_ids)} runs: {shown}", hint="give more digits")
    name = [name for name, rows in matches.items() if rows][-1]
    return _placed(layout, name, matches[name][0])


def read_record(layout: Layout, run: Run) -> dict[str, Any] | None:
    """The newest published summary of a run, or None when it has none.

    Raises:
        Damage: its block's file cannot be read.
    """
    if not run.is_done:
        return None
    own = [r for r in read_block(layout, run.stage, run.part, run.block) if r.get("run_id") == run.run_id]
    return max(own, key=lambda record: record.get("attempt") or 0, default=None)


def select(table: pa.Table, *, state: str = "all", where: Condition | None = None, ids: Sequence[str] = ()) -> pa.Table:
    """The rows of the summary table that fit all of the arguments.

    Args:
        table: with at least "status", "run_id" and the columns that `where` reads.
        state: one of `STATES`.
        where: a condition over columns; a run without a value does not fulfil it.
        ids: beginnings of run ids, any of which will do; empty for all.

    Raises:
        UnknownName: a state or a column that does not exist.
    """
    if state not in STATES:
        raise UnknownName(f"unknown state `{state}`", hint=nearest(state, STATES))
    status = table.column("status")
    if state in ("ok", "failed"):
        table = table.filter(pc.equal(status, state))
    elif state != "all":
        table = table.filter(pc.is_null(status) if state == "pending" else pc.is_valid(status))
    if ids:
        mask = pc.starts_with(table.column("run_id"), ids[0])
        for prefix in ids[1:]:
            mask = pc.or_(mask, pc.starts_with(table.column("run_id"), prefix))
        table = table.filter(mask)
    if where is not None:
        for name in where.names:
            if name not in table.column_names:
                raise UnknownName(f"unknown column `{name}`", hint=nearest(name, table.column_names))
        mask = where.mask({name: column_values(table.column(name)) for name in where.names})
        table = table.filter(pa.array(np.broadcast_to(mask, table.num_rows)))
    return table


def column_values(column: pa.ChunkedArray) -> np.ndarray:
    """A column for conditions: numbers with NaN where there is none, everything else as objects with None.

    Integers that no double holds are objects too, where some are missing.
    """
    if pa.types.is_floating(column.type) or (column.null_count and is_double(column)):
        return column.cast(pa.float64()).to_numpy()
    if (pa.types.is_integer(column.type) and not column.null_count) or (
        pa.types.is_boolean(column.type) and not column.null_count
    ):
        return column.to_numpy()
    values = np.empty(len(column), dtype=object)
    values[:] = column.to_pylist()
    return values


def is_double(column: pa.ChunkedArray) -> bool:
    """Whether a column holds integers that are doubles."""
    if not pa.types.is_integer(column.type):
        return False
    ends = pc.min_max(column).as_py()
    return max(abs(ends["min"] or 0), abs(ends["max"] or 0)) <= MAX_DOUBLE


def _with_prefix(layout: Layout, stage: str, prefix: str) -> list[dict[str, Any]]:
    rows = pq.read_table(layout.plan_rows(stage, plan.parts(layout, stage)[-1]), columns=_PLACE, use_threads=False)
    return rows.filter(pc.starts_with(rows.column("run_id"), prefix)).to_pylist()


def _placed(layout: Layout, stage: str, row: dict[str, Any]) -> Run:
    """A run where its newest published summary is; where it is planned, when it has none."""
    done = published(layout, stage)
    place = row
    if (row["part"], row["block"]) not in done and row["attempt"] > 0:
        for part in reversed(plan.parts(layout, stage)[:-1]):
            file = layout.plan_rows(stage, part)
            earlier = pq.read_table(file, columns=_PLACE, filters=[("run_id", "=", row["run_id"])]).to_pylist()
            if earlier and (earlier[0]["part"], earlier[0]["block"]) in done:
                place = earlier[0]
                break
    return Run(stage=stage, is_done=(place["part"], place["block"]) in done, **place)


def _last(layout: Layout) -> str:
    """Run id of the last run of the block that was published last."""
    journal = Journal.of(layout)
    journal.update()
    newest = sorted(journal.published.items(), key=lambda item: item[1]["t"], reverse=True)
    for task, _ in newest:
        try:
            lines = layout.summaries(task.stage, task.part, task.block).read_bytes().splitlines()
            return str(loads(lines[-1])["run_id"])
        except (FileNotFoundError, IndexError, KeyError, ValueError, Damage):
            continue
    raise UnknownName("no run has been published yet", hint="`campaign status` shows its state")
