"""Runs of a block that go through one compiled program together."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from campaign.engines.batch import Batch
from campaign.space import ThetaSpace


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Runs of a block that share a structure: `rows[i]` is the block's row in lane i."""

    rows: np.ndarray
    batch: Batch
    space: ThetaSpace
    free_names: tuple[str, ...]

    def halves(self) -> tuple[Group, ...]:
        """The same runs as groups of half the capacity, for when memory is short."""
        capacity = len(self.batch.words)
        half = (capacity + 1) // 2
        lanes = np.minimum(np.arange(2 * half), capacity - 1)
        parts = (self._part(lanes[:half], self.rows[:half]), self._part(lanes[half:], self.rows[half:]))
        return tuple(part for part in parts if len(part.rows))

    def parted(self) -> tuple[Group, Group]:
        """The same runs as two groups of the same capacity, which need no other program: to find the one at fault."""
        n, capacity = len(self.rows), len(self.batch.words)
        first, second = np.arange(n // 2), np.arange(n // 2, n)

        def part(own: np.ndarray) -> Group:
            return self._part(np.concatenate([own, np.repeat(own[:1], capacity - len(own))]), self.rows[own])

        return part(first), part(second)

    def _part(self, lanes: np.ndarray, rows: np.ndarray) -> Group:
        return replace(self, rows=rows, batch=self.batch.take(lanes))
