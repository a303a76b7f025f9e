"""Bookkeeping of blocks whose worker was lost. A loss is never a run's failure: it has its own count."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from campaign.execute.base import Receipt
from campaign.store.events import EventLog
from campaign.store.layout import BlockTask, Layout
from campaign.work.watchdog import known_hangs

MAX_LOSSES = 4  # of one block, after which this driver gives it up; a later `campaign resume` starts again


SUSPECT = 2  # losses after which a block runs alone, where several share a worker or a world


@dataclass(slots=True, kw_only=True)
class Losses:
    """How often each block was lost, journalled as it happens; the last loss is returned as a receipt.

    A loss by a run that hung, which the next execution of the block leaves out, does not count.
    """

    layout: Layout
    events: EventLog
    limit: int = MAX_LOSSES
    counts: Counter[BlockTask] = field(default_factory=Counter)
    known: Counter[BlockTask] = field(default_factory=Counter)

    def tells_more(self, tasks: Iterable[BlockTask]) -> bool:
        """Whether the loss of these blocks named runs at fault, which the next execution leaves out."""
        before = sum(self.known.values())
        self.known |= Counter({task: self._n_known(task) for task in tasks})
        return sum(self.known.values()) > before

    def is_suspect(self, task: BlockTask) -> bool:
        """Whether a block has been lost so often that it should run alone."""
        return self.counts[task] >= SUSPECT

    def note(self, task: BlockTask, reason: str) -> Receipt | None:
        """Count a loss. None: hand the block out again. A receipt: that was once too often."""
        self.counts[task] += 1
        count = self.counts[task] - self._n_known(task)
        if count < self.limit:
            place = {"stage": task.stage, "part": task.part, "block": task.block}
            self.events.append("block_lost", **place, reason=reason, count=count)
            return None
        return Receipt(task=task, state="lost", message=f"lost {count} times, the last time: {reason}")

    def _n_known(self, task: BlockTask) -> int:
        return len(known_hangs(self.layout.hung(task.stage, task.part, task.block)))
