"""What an executor is: block tasks in, receipts out, a bounded window in flight."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path

from campaign.store.layout import BlockTask
from campaign.work.control import Control, Flag, Receipt

__all__ = ["AbstractExecutor", "BlockTask", "Control", "Flag", "Receipt"]


class AbstractExecutor(ABC):
    """Where blocks run. A context manager: entering starts workers, leaving ends them."""

    name: str

    def __enter__(self) -> AbstractExecutor:
        return self

    def __exit__(self, *exception: object) -> None:
        return None

    @abstractmethod
    def run(self, directory: Path, tasks: Iterable[BlockTask], control: Control) -> Iterator[Receipt]:
        """Run blocks in any order; yield a receipt for each block handed out.

        At-least-once: a block may run twice. An executor never raises for a lost worker: it hands the block out again,
        or yields a "lost" receipt with the reason after its own bounded number of tries.

        Raises:
            Unavailable: the workers cannot be started at all; with the reason and the last log lines.
        """
