"""The runs of a block as arrays: what they work on, and where each of them stands."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Int

from campaign.engines.base import AbstractEngine
from campaign.problem.target import Target


class Lanes(NamedTuple):
    """Where every run of a block stands: engine state, steps done, outcome. Leading axis: run."""

    state: Any
    n_steps: Int[Array, " B"]
    outcome: Int[Array, " B"]


class Work(NamedTuple):
    """One run, or with a leading run axis on some leaves a block of them: the engine and what it works on."""

    engine: AbstractEngine
    target: Target


class Batch(NamedTuple):
    """The input of a block.

    `is_batched` is a tree like `work` of booleans; leaves that are not batched are shared by all runs.
    `words` are four 32-bit words of each run id, shape (B, 4): with `seed` they give the run's random key.
    """

    work: Work
    is_batched: Any
    words: np.ndarray
    seed: int

    def take(self, lanes: np.ndarray | slice) -> Batch:
        """Some of the runs, as a batch."""
        work = take_lanes(self.work, self.is_batched, lanes)
        return self._replace(work=work, words=self.words[lanes])


def take_lanes(tree: Any, is_batched: Any, lanes: Any) -> Any:
    """Lanes of the batched leaves (one lane: without its axis); what the runs share stays."""
    return jax.tree.map(lambda leaf, is_own: leaf[lanes] if is_own else leaf, tree, is_batched)
