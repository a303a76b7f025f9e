"""Blocks in this process, one after another."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from campaign.execute.base import AbstractExecutor, Control, Receipt
from campaign.execute.devices import ANY, visible_gpus
from campaign.execute.remote import check_device
from campaign.store.layout import BlockTask


class InlineExecutor(AbstractExecutor):
    """Runs every block here and now: small campaigns, debugging."""

    name = "inline"

    def __init__(self, *, device: str | None = None) -> None:
        """Args:
        device: "gpu" or "cpu": what blocks must run on; "any": whatever JAX finds. None: "gpu" where there are some.
        """
        self.device = device or ("gpu" if visible_gpus() else ANY)

    def run(self, directory: Path, tasks: Iterable[BlockTask], control: Control) -> Iterator[Receipt]:
        from campaign.execute.worker import run_block

        if self.device == "cpu":
            os.environ["JAX_PLATFORMS"] = "cpu"  # no effect where JAX has begun; then the check below tells
        for task in tasks:
            if control.must_stop():
                return
            check_device(None if self.device == ANY else self.device)
            yield run_block(directory, task, control)
