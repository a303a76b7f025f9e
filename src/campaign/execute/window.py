"""Blocks through a Dask client: a bounded window of futures, dropped as soon as their receipts are here."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

from campaign.errors import Unavailable
from campaign.execute.base import Control, Receipt
from campaign.execute.losses import Losses
from campaign.execute.remote import RUN_BLOCK, run_remote
from campaign.store.events import EventLog
from campaign.store.layout import BlockTask, Layout

BLOCKS_A_WORKER = 3  # one runs, one waits at the worker, one at the scheduler
LOOK_S = 0.5  # between two looks at the control and the keeper


def run_window(
    client: Any,
    directory: Path,
    tasks: Iterable[BlockTask],
    control: Control,
    *,
    n_workers: Callable[[], int],
    watch: Callable[[], None],
    why_lost: Callable[[], str],
    work: str = RUN_BLOCK,
) -> Iterator[Receipt]:
    """Hand blocks to a Dask cluster and yield their receipts.

    Args:
        client: `distributed.Client`.
        directory: of the campaign, as workers see it.
        tasks: blocks, drawn lazily.
        control: of the driver.
        n_workers: how many there are now.
        watch: called about every `LOOK_S`; raises when the cluster is beyond help.
        why_lost: last words of a worker that died.
        work: what the workers call.
    """
    finished: queue.SimpleQueue[Any] = queue.SimpleQueue()
    flying: dict[Any, tuple[Any, BlockTask]] = {}
    losses = Losses(events=EventLog(Layout(directory)))
    waiting = iter(tasks)
    again: list[BlockTask] = []
    looked_at = 0.0
    number = 0
    try:
        while True:
            if time.monotonic() - looked_at >= LOOK_S:
                looked_at = time.monotonic()
                watch()
            if control.cancel.is_set():
                return
            is_stopping = control.must_stop()
            while not is_stopping and len(flying) < BLOCKS_A_WORKER * max(1, n_workers()):
                task = again.pop() if again else next(waiting, None)
                if task is None:
                    break
                number += 1
                key = f"block-{task.stage}-{task.part}-{task.block}-{number}"
                future = client.submit(run_remote, str(directory), task, control.deadline, work, key=key, pure=False)
                flying[key] = (future, task)
                future.add_done_callback(finished.put)
            if not flying:
                return
            try:
                future = finished.get(timeout=LOOK_S)
            except queue.Empty:
                continue
            _, task = flying.pop(future.key)
            receipt = _receipt(future, task, losses, why_lost)
            future.release()
            if receipt is not None and (receipt.state != "interrupted" or control.must_stop()):
                yield receipt
            else:  # lost, or its worker had to leave: hand it out again
                again.append(task)
    finally:
        for future, _ in flying.values():
            future.cancel()


def _receipt(future: Any, task: BlockTask, losses: Losses, why_lost: Callable[[], str]) -> Receipt | None:
    """The receipt of a finished future; None when the block must be handed out again."""
    from distributed.scheduler import KilledWorker

    try:
        return future.result()
    except KilledWorker as death:
        return losses.note(task, f"worker {death.last_worker.name} died{why_lost()}")
    except CancelledError as error:
        raise Unavailable(
            f"the Dask scheduler is gone, and with it block {task.stage}/{task.part}/{task.block}",
            hint="everything published is safe; `campaign resume` continues",
        ) from error
