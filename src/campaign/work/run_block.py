"""`run_block`: the only function that crosses a process boundary. Address of a block in, receipt out, truth on disk."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from campaign.float64 import use_float64
from campaign.store import summaries
from campaign.store.checkpoints import discard
from campaign.store.events import EventLog
from campaign.store.failures import failure_signatures
from campaign.store.layout import BlockTask, Layout
from campaign.store.records import read_json
from campaign.work.control import Control, Receipt
from campaign.work.jax_runtime import start_jax, worker_name
from campaign.work.output import output_kept

if TYPE_CHECKING:
    from campaign.work.block import Execution


@dataclass(frozen=True, slots=True)
class Computed:
    """A block that is computed and not yet published."""

    layout: Layout
    task: BlockTask
    execution: Execution


def run_block(directory: str | Path, task: BlockTask, control: Control | None = None) -> Receipt:
    """Run one block to its published summaries, unless it is published already.

    Idempotent: it may run any number of times, anywhere, also at once: the same bytes go to the same places.

    Args:
        directory: of the campaign.
        task: which block.
        control: draining and deadline; a block stops at its next chunk of steps, with a checkpoint.

    Raises:
        Unavailable: the disk is full or cannot be written, or JAX finds no device.
        Damage: the plan on disk contradicts itself.
    """
    found = compute(directory, task, control)
    return found if isinstance(found, Receipt) else publish(found)


def compute(directory: str | Path, task: BlockTask, control: Control | None = None) -> Receipt | Computed:
    """The first half of `run_block`: everything that the model and the device do. A receipt when there is no second."""
    layout = Layout(Path(directory))
    if layout.summaries(task.stage, task.part, task.block).exists():
        return Receipt(task=task, state="already", worker=worker_name())
    started = time.time()
    events = _journal(layout)
    events.append("block_started", **_place(task))
    start_jax()
    use_float64()
    from campaign.work.block import compute_block  # JAX is set up before it is used
    from campaign.work.gang.leader import GangLost

    try:
        with output_kept(layout.output(task.stage, task.part, task.block)):
            execution = compute_block(layout, task, control or Control(), started, read_json(layout.identity))
    except GangLost as lost:
        return Receipt(task=task, state="lost", seconds=time.time() - started, worker=worker_name(), message=str(lost))
    if execution is None:
        seconds = time.time() - started
        events.append("block_interrupted", **_place(task), seconds=seconds)
        return Receipt(task=task, state="interrupted", seconds=seconds, worker=worker_name())
    return Computed(layout, task, execution)


def publish(computed: Computed) -> Receipt:
    """The second half of `run_block`: records, files and the journal. Another thread may compute meanwhile."""
    from campaign.work.done import records

    layout, task, execution = computed.layout, computed.task, computed.execution
    done = records(execution)
    summaries.publish_block(layout, task.stage, task.part, task.block, done.lines, done.metas)
    discard(layout, task.stage, task.part, task.block)
    seconds = time.time() - execution.started
    n_failed = len(done.failed)
    n_ok = len(done.lines) - n_failed
    _journal(layout).append(
        "block_published",
        **_place(task),
        n_ok=n_ok,
        n_failed=n_failed,
        outcomes=done.outcomes,
        failures=failure_signatures(done.failed),
        n_steps=done.n_steps,
        seconds=seconds,
        compile_s=done.compile_s,
        n_compiles=done.n_compiles,
    )
    return Receipt(
        task=task,
        state="published",
        n_ok=n_ok,
        n_failed=n_failed,
        seconds=seconds,
        compile_s=done.compile_s,
        worker=worker_name(),
    )


def _place(task: BlockTask) -> dict[str, Any]:
    return {"stage": task.stage, "part": task.part, "block": task.block, "worker": worker_name()}


_journals: dict[tuple[Path, int], EventLog] = {}


def _journal(layout: Layout) -> EventLog:
    """This process's journal in a campaign, opened once; a forked child opens its own."""
    key = (layout.root, os.getpid())
    if key not in _journals:
        _journals[key] = EventLog(layout)
    return _journals[key]
