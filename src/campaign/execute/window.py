"""Blocks as futures: a bounded window of them in flight, each dropped as soon as its receipt is here."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from campaign.execute.base import Control, Receipt
from campaign.execute.losses import Losses
from campaign.execute.stopping import TIME_IS_UP
from campaign.store.events import EventLog
from campaign.store.layout import BlockTask, Layout

BLOCKS_A_WORKER = 3  # one runs, one waits at the worker, one at the scheduler
PAUSE_S = 0.2  # after a worker that has no time for a block: it would get the same one at once
LOOK_S = 0.5  # between two looks at the control and the workers


def run_window(
    submit: Callable[[BlockTask], Any],
    directory: Path,
    tasks: Iterable[BlockTask],
    control: Control,
    *,
    n_workers: Callable[[], int],
    watch: Callable[[], None] = lambda: None,
    loss: Callable[[BaseException], str | None] = lambda error: None,
) -> Iterator[Receipt]:
    """Hand blocks out and yield their receipts.

    Args:
        submit: hands a block out; gives a future with `result`, `cancel` and `add_done_callback`.
        directory: of the campaign.
        tasks: blocks, drawn lazily.
        control: of the driver.
        n_workers: how many there are now.
        watch: called about every `LOOK_S`; raises when the workers are beyond help.
        loss: the reason, when an exception of a future means that its worker was lost; None when it is the block's own.
    """
    finished: queue.SimpleQueue[Any] = queue.SimpleQueue()
    flying: dict[int, tuple[Any, BlockTask]] = {}
    losses = Losses(layout=Layout(directory), events=EventLog(Layout(directory)))
    waiting = iter(tasks)
    again: list[BlockTask] = []
    looked_at = 0.0
    try:
        while True:
            if time.monotonic() - looked_at >= LOOK_S:
                looked_at = time.monotonic()
                watch()
            is_idle = control.must_stop() and not n_workers()  # told to stop while nobody has begun: nobody to wait for
            if control.cancel.is_set() or is_idle:
                return
            while len(flying) < BLOCKS_A_WORKER * max(1, n_workers()) and not control.must_stop():
                task = _next(waiting, again, losses, [own for _, own in flying.values()])
                if task is None:
                    break
                future = submit(task)
                flying[id(future)] = (future, task)
                future.add_done_callback(finished.put)
            if not flying:
                return
            try:
                future = finished.get(timeout=LOOK_S)
            except queue.Empty:
                continue
            _, task = flying.pop(id(future))
            receipt = _receipt(future, task, losses, loss)
            if receipt is not None and receipt.message == TIME_IS_UP:
                time.sleep(PAUSE_S)
            if receipt is not None and (receipt.state != "interrupted" or control.must_stop()):
                yield receipt
            else:  # lost, or its worker had to leave: hand it out again
                again.append(task)
    finally:
        for future, _ in flying.values():
            future.cancel()


def _next(
    waiting: Iterator[BlockTask], again: list[BlockTask], losses: Losses, flying: list[BlockTask]
) -> BlockTask | None:
    """The next block to hand out, or None. One that waits behind another is lost with it: blocks that were lost twice
    run at the end, alone, so that the guilty one is found."""
    if any(losses.is_suspect(task) for task in flying):
        return None
    for i, task in enumerate(again):
        if not losses.is_suspect(task):
            return again.pop(i)
    task = next(waiting, None)
    return again.pop() if task is None and again and not flying else task


def _receipt(
    future: Any, task: BlockTask, losses: Losses, loss: Callable[[BaseException], str | None]
) -> Receipt | None:
    """The receipt of a finished future; None when the block must be handed out again."""
    try:
        return future.result()
    except BaseException as error:
        reason = loss(error)
        if reason is None:
            raise
        return losses.note(task, reason)
