"""What the loop drives: the contract of a program, compiled or not."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import jax
import numpy as np
from jaxtyping import Array

from campaign.engines.base import Result
from campaign.engines.batch import Lanes, Work


class Program(Protocol):
    """What the loop drives: the three calls of a block, compiled or not. All arrays have a leading run axis.

    Attributes:
        shapes: what a block gives.
        compile_s: seconds that compiling took.
    """

    @property
    def shapes(self) -> Shapes: ...

    @property
    def compile_s(self) -> float: ...

    def init(self, work: Work, words: np.ndarray, seed: np.uint32, is_valid: np.ndarray) -> Lanes:
        """Where the runs stand before their first step; lanes that are not valid have ended."""
        ...

    def advance(self, work: Work, lanes: Lanes) -> tuple[Lanes, dict[str, Array]]:
        """One chunk of steps of every run that has not ended, and what is traced of it: (B, chunk_steps, …)."""
        ...

    def finish(self, work: Work, lanes: Lanes) -> tuple[Result, dict[str, Array]]:
        """Results and derived numbers."""
        ...

    def close(self) -> None:
        """The block is over, finished or not: let go of whatever is still at work."""
        ...


class Shapes(NamedTuple):
    """What a block of a program gives: trace of one chunk, results and derived numbers, as shapes and types."""

    info: dict[str, jax.ShapeDtypeStruct]
    result: tuple[Result, dict[str, jax.ShapeDtypeStruct]]
