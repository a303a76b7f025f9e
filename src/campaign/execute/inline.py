"""Blocks in this process, one after another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from campaign.execute.base import AbstractExecutor, Control, Receipt
from campaign.store.layout import BlockTask


class InlineExecutor(AbstractExecutor):
    """Runs every block here and now: small campaigns, debugging."""

    name = "inline"

    def run(self, directory: Path, tasks: Iterable[BlockTask], control: Control) -> Iterator[Receipt]:
        from campaign.execute.worker import run_block

        for task in tasks:
            if control.must_stop():
                return
            yield run_block(directory, task, control)
