"""Blocks in this process: one is computed while those before it are published."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from campaign.execute.base import AbstractExecutor, Control, Receipt
from campaign.execute.devices import ANY, visible_gpus
from campaign.execute.remote import check_device
from campaign.store.layout import BlockTask

BEHIND = 2  # blocks that wait for the disk while the next one is computed


class InlineExecutor(AbstractExecutor):
    """Runs every block here and now: small campaigns, debugging."""

    name = "inline"

    def __init__(self, *, device: str | None = None) -> None:
        """Args:
        device: "gpu" or "cpu": what blocks must run on; "any": whatever JAX finds. None: "gpu" where there are some.
        """
        self.device = device or ("gpu" if visible_gpus() else ANY)

    def run(self, directory: Path, tasks: Iterable[BlockTask], control: Control) -> Iterator[Receipt]:
        from campaign.work.run_block import compute, publish

        if self.device == "cpu":
            os.environ["JAX_PLATFORMS"] = "cpu"  # no effect where JAX has begun; then the check below tells
        publishing: deque[Future[Receipt]] = deque()
        with ThreadPoolExecutor(BEHIND, thread_name_prefix="campaign-publish") as publisher:
            for task in tasks:
                if control.must_stop():
                    break
                check_device(None if self.device == ANY else self.device)
                found = compute(directory, task, control)
                if isinstance(found, Receipt):
                    yield found
                else:
                    publishing.append(publisher.submit(publish, found))
                while publishing and (len(publishing) > BEHIND or publishing[0].done()):
                    yield publishing.popleft().result()
            while publishing:
                yield publishing.popleft().result()
