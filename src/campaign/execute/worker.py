"""`run_block`: the only function that crosses a process boundary. Address of a block in, receipt out, truth on disk."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from campaign.execute.base import Control, Receipt
from campaign.execute.runtime import start_jax, worker_name
from campaign.store import summaries
from campaign.store.checkpoints import discard
from campaign.store.events import EventLog
from campaign.store.failures import failure_signatures
from campaign.store.layout import BlockTask, Layout
from campaign.store.records import read_json

Record = dict[str, Any]


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
    layout = Layout(Path(directory))
    if layout.summaries(task.stage, task.part, task.block).exists():
        return Receipt(task=task, state="already", worker=worker_name())
    started = time.time()
    events = _journal(layout)
    place = {"stage": task.stage, "part": task.part, "block": task.block, "worker": worker_name()}
    events.append("block_started", **place)
    start_jax()
    from campaign.execute.computing import compute_block  # JAX is set up before it is used

    done = compute_block(layout, task, control or Control(), started, read_json(layout.identity))
    if done is None:
        seconds = time.time() - started
        events.append("block_interrupted", **place, seconds=seconds)
        return Receipt(task=task, state="interrupted", seconds=seconds, worker=worker_name())
    summaries.publish_block(layout, task.stage, task.part, task.block, done.lines, done.metas)
    discard(layout, task.stage, task.part, task.block)
    seconds = time.time() - started
    n_failed = len(done.failed)
    n_ok = len(done.lines) - n_failed
    events.append(
        "block_published",
        **place,
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


_journals: dict[tuple[Path, int], EventLog] = {}


def _journal(layout: Layout) -> EventLog:
    """This process's journal in a campaign, opened once; a forked child opens its own."""
    key = (layout.root, os.getpid())
    if key not in _journals:
        _journals[key] = EventLog(layout)
    return _journals[key]
