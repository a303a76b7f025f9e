"""Judging a run by its whole trace while it passes by: nothing is read back, nothing grows with the steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np


class Monitor(Protocol):
    """Watches the trace of all runs of a block. NumPy, on the host.

    What it keeps is part of a checkpoint, so a resumed block is judged like an uninterrupted one.
    """

    def take(self, fields: Mapping[str, np.ndarray], n_before: int, n_after: int) -> None:
        """One chunk: arrays (runs, chunk_steps, …), of which the steps from `n_before` up to `n_after` are real.

        A run that ended earlier has fill values in the rest of them.
        """

    def metrics(self, n_steps: np.ndarray) -> dict[str, np.ndarray]:
        """One value a run, by name → ``metric.<name>``. `n_steps` are the steps that each run did."""
        ...

    def leaves(self) -> list[np.ndarray]:
        """All that is kept, for a checkpoint."""
        ...

    def load(self, leaves: Sequence[np.ndarray]) -> None:
        """Take what `leaves` gave."""


class Snapshots:
    """The draws of one traced field after burn-in, evenly thinned so that at most `capacity` steps are kept.

    When the store is full every second step is dropped and the stride doubles, so which steps are kept depends on how
    many there were and on nothing else. Up to `capacity` steps nothing is lost; beyond, between capacity/2 and capacity
    evenly spaced steps are left.

    Attributes:
        draws: (runs, capacity, …); of a run that ended early the rest is NaN.
        stride: steps between two that are kept.
        n_seen: steps after burn-in so far.
    """

    def __init__(self, field: str, skip: int, capacity: int) -> None:
        """`skip` steps are burn-in; `capacity` is even."""
        self.field, self.skip, self.capacity = field, skip, capacity
        self.draws: np.ndarray | None = None
        self.stride, self.n_seen = 1, 0

    @property
    def n_kept(self) -> int:
        return -(-self.n_seen // self.stride)

    def take(self, fields: Mapping[str, np.ndarray], n_before: int, n_after: int) -> None:
        values = fields[self.field][:, max(0, self.skip - n_before) : n_after - n_before]
        if self.draws is None:
            shape = (values.shape[0], self.capacity, *values.shape[2:])
            self.draws = np.full(shape, np.nan)
        while values.shape[1]:
            room = self.capacity * self.stride - self.n_seen
            part, values = values[:, :room], values[:, room:]
            first = -self.n_seen % self.stride
            kept = part[:, first :: self.stride]
            start = self.n_kept
            self.draws[:, start : start + kept.shape[1]] = kept
            self.n_seen += part.shape[1]
            if values.shape[1]:  # full, and there is more
                half = self.draws[:, ::2].copy()
                self.draws[:, : half.shape[1]] = half
                self.draws[:, half.shape[1] :] = np.nan
                self.stride *= 2

    def of(self, run: int, n_steps: int) -> np.ndarray:
        """The kept draws of a run that did `n_steps` steps: (n, …)."""
        n = -(-max(0, min(n_steps - self.skip, self.n_seen)) // self.stride)
        if self.draws is None:
            return np.empty((0,))
        return self.draws[run, :n]

    def leaves(self) -> list[np.ndarray]:
        draws = np.empty(0) if self.draws is None else self.draws[:, : self.n_kept]
        return [draws, np.array([self.stride, self.n_seen])]

    def load(self, leaves: Sequence[np.ndarray]) -> None:
        draws, (self.stride, self.n_seen) = leaves[0], (int(x) for x in leaves[1])
        if draws.ndim > 1:
            self.draws = np.full((draws.shape[0], self.capacity, *draws.shape[2:]), np.nan)
            self.draws[:, : draws.shape[1]] = draws


def capacity_for(bytes_a_step: int, budget: int = 1 << 20, least: int = 512) -> int:
    """How many steps to keep of a run: a power of two within `budget` bytes, at least `least`."""
    n = max(least, budget // max(1, bytes_a_step))
    return 1 << (n.bit_length() - 1)
