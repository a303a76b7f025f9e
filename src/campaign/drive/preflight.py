"""A few runs alone before the thousands: a model that fails in each of them stops the campaign before it begins.

The first run of a stage goes as far as its first chunk of steps, in a process of its own. Where its code raises,
leaves, crashes or hangs, up to two more are tried, from the middle and the end of the stage: one run in ten that fails
is no reason to stop, three of three are.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from campaign.execute.base import Control
from campaign.interpreter import running
from campaign.last_words import endings, unfinished
from campaign.store.events import EventLog
from campaign.store.layout import BlockTask, Layout
from campaign.touching import WORDS

if TYPE_CHECKING:
    from campaign.manifest.model import Execution

FROM = 100  # runs of people's own code: fewer are not worth the start of a process
PATIENCE_S = 120.0  # without `timeout_s`, after which the run is taken for a good one
LOOK_S = 0.1


def is_wanted(execution: Execution, n_runs: int) -> bool:
    """Whether a stage with so many runs of people's own code has a preflight."""
    return n_runs >= FROM if execution.preflight is None else execution.preflight and n_runs > 0


def preflight(
    layout: Layout, tasks: Sequence[BlockTask], sizes: Mapping[BlockTask, int], control: Control, events: EventLog
) -> str | None:
    """Why a stage should not begin; None where it may.

    Args:
        layout: of the campaign.
        tasks: blocks that are left to do.
        sizes: runs of each.
        control: of the driver; draining ends the preflight.
        events: journal.
    """
    reasons: list[str] = []
    n = sum(sizes[task] for task in tasks)
    for index in dict.fromkeys((0, n // 2, n - 1)):
        task, row = _place(tasks, sizes, index)
        reason = _failure(layout, task, row, control)
        events.append("preflight", stage=task.stage, part=task.part, block=task.block, row=row, reason=reason or "")
        if reason is None or control.must_stop():
            return None
        reasons.append(reason)
    alike = "alike" if len(set(reasons)) == 1 else "first"
    return (
        f"preflight: {len(reasons)} of {len(reasons)} runs of stage `{tasks[0].stage}` that were tried fail, {alike}: "
        f"{reasons[0]}; the {n:,} runs are not started; correct the problem and submit again, or add `--no-preflight`"
    )


def _place(tasks: Sequence[BlockTask], sizes: Mapping[BlockTask, int], index: int) -> tuple[BlockTask, int]:
    """Block and row of the n-th run."""
    for task in tasks:
        if index < sizes[task]:
            return task, index
        index -= sizes[task]
    raise IndexError(index)


def _failure(layout: Layout, task: BlockTask, row: int, control: Control) -> str | None:
    """Run one run alone: what its code does wrong, or None."""
    module = running("campaign.work.preflight")
    address = [str(layout.root), task.stage, str(task.part), str(task.block), str(row)]
    with tempfile.TemporaryFile("a+b", buffering=0) as file:
        child = subprocess.Popen(
            [*module, *address],
            pass_fds=[file.fileno()],
            env={**os.environ, WORDS: str(file.fileno()), "XLA_PYTHON_CLIENT_PREALLOCATE": "false"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        has_left = _wait(child, layout, task, control)
        text = os.pread(file.fileno(), 10_000_000, 0).decode(errors="replace")
    return next(_told(text, child.returncode), None) if has_left else None


def _wait(child: subprocess.Popen[bytes], layout: Layout, task: BlockTask, control: Control) -> bool:
    """Wait for the child, whose own timer ends a run that is late by `timeout_s`. False: it was not waited for."""
    from campaign.store import plan as plans

    has_limit = any(entry.get("timeout_s") for entry in plans.programs(layout, task.stage).values())
    begun = time.monotonic()
    try:
        while child.poll() is None:
            if control.must_stop() or (not has_limit and time.monotonic() - begun > PATIENCE_S):
                return False
            time.sleep(LOOK_S)
        return True
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()


def _told(text: str, code: int) -> Iterator[str]:
    """What the words of a process say of its run."""
    entries = unfinished(text)
    yield from (str(entry["failed"]) for entry in entries if "failed" in entry)
    if any("done" in entry for entry in entries):
        return
    for ending in endings(text):
        how = ending.how or "it did not return within its `timeout_s`"
        yield f"{how} while {ending.entry.get('phase')}{ending.where}"
    if entries and "phase" in entries[-1]:
        yield f"its process ended with code {code} while {entries[-1]['phase']}"
