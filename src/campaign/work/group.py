"""Runs of a block that go through one compiled program together."""

from __future__ import annotations

from collections.abc import Iterator
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

    def parted(self, n_parts: int = 2) -> Iterator[Group]:
        """The same runs as groups of the same capacity, which need no other program: to find the one at fault."""
        capacity = len(self.batch.words)
        for own in np.array_split(np.arange(len(self.rows)), min(n_parts, len(self.rows))):
            yield self._part(np.concatenate([own, np.repeat(own[:1], capacity - len(own))]), self.rows[own])

    def _part(self, lanes: np.ndarray, rows: np.ndarray) -> Group:
        return replace(self, rows=rows, batch=self.batch.take(lanes))
