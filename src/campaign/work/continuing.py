"""How a block goes on from earlier blocks: their kept states put together run by run, and the trace of their steps."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from typing import Any

import numpy as np

from campaign.engines.base import AbstractEngine
from campaign.engines.loop import Continued
from campaign.engines.one_run import fill_value
from campaign.engines.outcome import Outcome
from campaign.engines.program import Shapes
from campaign.store import states
from campaign.store.layout import BlockTask, Layout
from campaign.store.plan import NO_ROW, OLD_ROW
from campaign.store.trace_reading import RecordedSteps
from campaign.work.group import Group
from campaign.work.planned_block import PlannedBlock


def continued(
    layout: Layout, block: PlannedBlock, group: Group, shapes: Shapes, recorded: Collection[str]
) -> Continued | None:
    """Where the runs of a block stood before, if its plan says so and everything needed is there; else None.

    None is always right: the same numbers are then computed from the start.

    Args:
        layout, block, group: what is run; the group is the whole block.
        shapes: what its program gives.
        recorded: names of the fields that are recorded each step.
    """
    entry, rows, engine = block.header.get("continues"), block.columns.get(OLD_ROW), group.batch.work.engine
    if entry is None or rows is None or not isinstance(engine, AbstractEngine):
        return None
    own = np.asarray(rows)[group.rows]
    if (own == NO_ROW).any():
        return None
    chunk_steps = None if type(engine).prepare is AbstractEngine.prepare else engine.chunk_steps
    leaves = _leaves(layout, block.task.stage, entry, own, len(group.batch.words), chunk_steps)
    if leaves is None:
        return None
    n_steps, outcome = leaves[-2], leaves[-1]
    n = int(n_steps[: len(own)].max())
    if (n_steps[outcome == Outcome.RUNNING] != n).any():
        return None
    monitor = engine.monitor(len(group.batch.words))
    needed = {*recorded, *(monitor.reads if monitor is not None else ())}
    trace = RecordedSteps.open(
        layout.trace_group(block.task.stage, entry["program"]), sorted(needed & shapes.info.keys()), own
    )
    if needed - trace.fields.keys() or (needed and (block.trace.every > 1 or block.trace.runs != "all")):
        return None
    if not all(trace.is_complete(name, n) for name in needed):
        return None
    return Continued(leaves=leaves, trace=partial(_chunk, trace, shapes, engine.chunk_steps, n))


def _leaves(
    layout: Layout, stage: str, entry: dict[str, Any], rows: np.ndarray, capacity: int, chunk_steps: int | None
) -> list[np.ndarray] | None:
    """The state of each run, from the states of the blocks that they were in; further lanes have ended.

    `chunk_steps` is what it must have been where the engine prepares each chunk; None: it does not matter.
    """
    size = entry["block_size"]
    out: list[np.ndarray] | None = None
    for number in np.unique(rows // size).tolist():
        kept = states.load(layout, BlockTask(stage, entry["part"], entry["first_block"] + number))
        here = np.flatnonzero(rows // size == number)
        if kept is None or chunk_steps not in (None, kept.chunk_steps):
            return None
        if not np.isin(rows[here] % size, kept.rows).all():
            return None
        lanes = np.searchsorted(kept.rows, rows[here] % size)
        found = [leaf[lanes] for leaf in kept.leaves]
        found[-1] = np.where(kept.is_spent[lanes], int(Outcome.RUNNING), found[-1]).astype(found[-1].dtype)
        if out is None:
            out = [np.repeat(leaf[:1], capacity, axis=0) for leaf in found]
            out[-1][:] = Outcome.ERROR
        for all_, some in zip(out, found, strict=True):
            all_[here] = some
    return out


def _chunk(trace: RecordedSteps, shapes: Shapes, chunk_steps: int, n: int, chunk: int) -> dict[str, np.ndarray]:
    """One chunk of the steps that were done, as `advance` gives it; fields that nobody needs are filled."""
    first, last = chunk * chunk_steps, min((chunk + 1) * chunk_steps, n)
    fields = {}
    for name, info in shapes.info.items():
        fields[name] = np.full(info.shape, fill_value(info.dtype), info.dtype)
        if name in trace.fields:
            fields[name][: len(trace.rows), : last - first] = trace.read(name, first, last)
    return fields
