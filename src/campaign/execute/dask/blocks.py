"""Blocks through a Dask client: how they are handed out, and which errors mean that a worker was lost."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

from campaign.errors import Unavailable
from campaign.execute.base import Control, Receipt
from campaign.execute.remote import RUN_BLOCK, Unfit, run_remote
from campaign.execute.window import run_window
from campaign.store.layout import BlockTask


def run_on_dask(
    client: Any,
    directory: Path,
    tasks: Iterable[BlockTask],
    control: Control,
    *,
    n_workers: Callable[[], int],
    watch: Callable[[], None],
    why_lost: Callable[[str], str] = lambda worker: "",
    why_unfit: Callable[[Unfit], str | None] = lambda error: None,
    work: str = RUN_BLOCK,
) -> Iterator[Receipt]:
    """`run_window` over a Dask client.

    Args:
        client: `distributed.Client`.
        directory: of the campaign, as workers see it; absolute.
        tasks, control, n_workers, watch: see `run_window`.
        why_lost: last words of the worker with this name.
        why_unfit: the reason to try elsewhere what a node cannot do; None when there is no elsewhere.
        work: what the workers call.
    """
    number = 0

    def submit(task: BlockTask) -> Any:
        nonlocal number
        number += 1
        key = f"block-{task.stage}-{task.part}-{task.block}-{number}"
        return client.submit(run_remote, str(directory), task, control.deadline, work, key=key, pure=False)

    def loss(error: BaseException) -> str | None:
        from distributed.client import FutureCancelledError
        from distributed.scheduler import KilledWorker

        if isinstance(error, KilledWorker):
            name = str(error.last_worker.name)
            return f"worker {name} died{why_lost(name)}"
        if isinstance(error, Unfit):
            return why_unfit(error)
        if isinstance(error, (CancelledError, FutureCancelledError)):
            raise Unavailable(
                "the Dask scheduler is gone",
                hint="everything published is safe; `campaign resume` continues",
            ) from error
        return None

    yield from run_window(submit, directory, tasks, control, n_workers=n_workers, watch=watch, loss=loss)
