"""Judging a run by its whole trace while it passes by: nothing is read back, nothing grows with the steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np


class Monitor(Protocol):
    """Watches the trace of all runs of a block. NumPy, on the host.

    What it keeps is part of a checkpoint, so a resumed block is judged like an uninterrupted one. A block that is
    continued with more steps is judged from the recorded trace of the steps before.

    Attributes:
        reads: names of the traced fields that it looks at.
    """

    @property
    def reads(self) -> tuple[str, ...]: ...

    def take(self, fields: Mapping[str, np.ndarray], n_before: int, n_after: int) -> None:
        """One chunk: arrays (runs, chunk_steps, …), of which the steps from `n_before` up to `n_after` are real.

        A run that ended earlier has fill values in the rest of them.
        """

    def metrics(self, n_steps: np.ndarray) -> dict[str, np.ndarray]:
        """One value a run, by name → ``metric.<name>``. `n_steps` are the steps that each run did."""
        ...

    def estimates(self, n_steps: np.ndarray) -> dict[str, np.ndarray]:
        """What `finish` needs of the whole trace: fields of the engine's state, one value a run, replaced before it."""
        ...

    def leaves(self) -> list[np.ndarray]:
        """All that is kept, for a checkpoint."""
        ...

    def load(self, leaves: Sequence[np.ndarray]) -> None:
        """Take what `leaves` gave."""


class Moments:
    """Mean and covariance of the draws after burn-in, over steps and chains; any number of steps.

    Steps are added in groups of 64 by their number, whatever chunks they come in, so the last bit does not depend on
    chunks, on a resume, or on whether a chain was extended.

    Attributes:
        n, mean, scatter: draws so far, their mean, and the sum of outer products of deviations, one a run.
        open: the steps of the group that is not full yet, (runs, ≤ 64, chains, parameters).

    Source: Chan, Golub & LeVeque 1983, The American Statistician 37, 242, eqs. 2.1.
    Checked: tests/unit/engines/test_monitor.py against numpy.
    """

    GROUP = 64

    def __init__(self, skip: int) -> None:
        self.skip = skip
        self.n: np.ndarray = np.empty(0)
        self.mean: np.ndarray = np.empty((0, 0))
        self.scatter: np.ndarray = np.empty((0, 0, 0))
        self.open: np.ndarray = np.empty((0, 0, 0, 0))
        self.n_open = 0  # number of the first step of `open`

    def take(self, values: np.ndarray, n_before: int) -> None:
        """Steps from number `n_before` on, (runs, steps, chains, parameters); NaN where a run has ended."""
        if not self.n.size:
            runs, _, chains, d = values.shape
            self.n, self.mean = np.zeros(runs), np.zeros((runs, d))
            self.scatter, self.open = np.zeros((runs, d, d)), np.zeros((runs, 0, chains, d))
        joined = np.concatenate([self.open, values], axis=1)
        first = n_before - self.open.shape[1]
        n_full = (first + joined.shape[1]) // self.GROUP * self.GROUP - first
        for start in range(0, n_full, self.GROUP):
            self.n, self.mean, self.scatter = self._with(joined[:, start : start + self.GROUP], first + start)
        self.open = joined[:, max(0, n_full) :]
        self.n_open = first + max(0, n_full)

    def of(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Number of draws, mean (runs, d) and covariance (runs, d, d); NaN where there are no draws."""
        if not self.n.size:
            return self.n, self.mean, self.scatter
        n, mean, scatter = self._with(self.open, self.n_open)
        with np.errstate(invalid="ignore", divide="ignore"):
            return n, np.where(n[:, None] > 0, mean, np.nan), scatter / np.maximum(n - 1, 1)[:, None, None]

    def _with(self, group: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The moments with a group of steps added, of which the first has this number."""
        values = group[:, max(0, self.skip - number) :]
        draws = values.reshape(values.shape[0], -1, values.shape[-1])
        if np.isnan(draws.sum()):
            is_draw = ~np.isnan(draws).any(axis=2)
            added, draws = is_draw.sum(axis=1), np.where(is_draw[:, :, None], draws, 0.0)
        else:
            is_draw, added = None, np.full(len(draws), draws.shape[1])
        if not added.any():
            return self.n, self.mean, self.scatter
        own = draws.sum(axis=1) / np.maximum(added, 1)[:, None]
        deviation = draws - own[:, None, :]
        if is_draw is not None:
            deviation = np.where(is_draw[:, :, None], deviation, 0.0)
        n = self.n + added
        shift = own - self.mean
        weight = added / np.maximum(n, 1)
        mean = self.mean + shift * weight[:, None]
        cross = shift[:, :, None] * shift[:, None, :] * (self.n * weight)[:, None, None]
        return n, mean, self.scatter + np.matmul(deviation.transpose(0, 2, 1), deviation) + cross

    def leaves(self) -> list[np.ndarray]:
        return [self.n, self.mean, self.scatter, self.open, np.array(self.n_open)]

    def load(self, leaves: Sequence[np.ndarray]) -> None:
        self.n, self.mean, self.scatter, self.open = leaves[:4]
        self.n_open = int(leaves[4])


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


def capacity_for(bytes_a_step: int, budget: int = 1 << 19, least: int = 512) -> int:
    """How many steps to keep of a run: a power of two within `budget` bytes, at least `least`."""
    n = max(least, budget // max(1, bytes_a_step))
    return 1 << (n.bit_length() - 1)
