"""Lanes of an accelerator: runs that advance together, closed up when some have ended.

All lanes of a compiled call cost the same whether they run or have ended. Between two chunks of steps those that still
run are moved to the front, and a prefix of a power of two of them goes on: at most twice as many as run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from campaign.engines.base import Result
from campaign.engines.batch import Batch, Lanes, Work, take_lanes
from campaign.engines.compiled import Compiled, compile_advance
from campaign.engines.one_run import fill_value
from campaign.engines.outcome import Outcome
from campaign.engines.program import Shapes

LEAST = 8  # lanes: fewer are not worth a program of their own


@dataclass(eq=False)
class ClosingLanes:
    """A `Program` of many lanes.

    Attributes:
        whole: the calls for all lanes of a block.
        batch: an example block, for programs of fewer lanes.
        narrower: compiled `advance` by number of lanes, made when first needed.
    """

    whole: Compiled
    batch: Batch
    narrower: dict[int, Callable[..., Any]] = field(default_factory=dict)

    @property
    def shapes(self) -> Shapes:
        return self.whole.shapes

    @property
    def compile_s(self) -> float:
        return self.whole.compile_s

    def init(self, work: Work, words: np.ndarray, seed: np.uint32, is_valid: np.ndarray) -> Lanes:
        return self.whole.init(work, words, seed, is_valid)

    def finish(self, work: Work, lanes: Lanes) -> tuple[Result, dict[str, Array]]:
        return self.whole.finish(work, lanes)

    def close(self) -> None:
        self.whole.close()

    def advance(self, work: Work, lanes: Lanes) -> tuple[Lanes, dict[str, Array]]:
        outcome = np.asarray(lanes.outcome)
        running = np.flatnonzero(outcome == Outcome.RUNNING)
        size = max(LEAST, 1 << max(0, len(running) - 1).bit_length())
        if 2 * size > len(outcome):
            return self.whole.advance(work, lanes)
        ended = np.flatnonzero(outcome != Outcome.RUNNING)
        index = np.concatenate([running, ended[: size - len(running)]])
        own = take_lanes(work, self.batch.is_batched, index)
        part, trace = self._narrow(size)(own, jax.tree.map(lambda leaf: leaf[index], lanes))
        merged = jax.tree.map(lambda all_, some: all_.at[index].set(some), lanes, part)
        return merged, {name: _spread(values, index, len(outcome)) for name, values in trace.items()}

    def _narrow(self, size: int) -> Callable[..., Any]:
        if size not in self.narrower:
            self.narrower[size] = compile_advance(self.batch.take(slice(size)), lanes=size)
        return self.narrower[size]


def _spread(values: Array, index: np.ndarray, n: int) -> Array:
    """Rows of some lanes among those of all."""
    return jnp.full((n, *values.shape[1:]), fill_value(values.dtype), values.dtype).at[index].set(values)
