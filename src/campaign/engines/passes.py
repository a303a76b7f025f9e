"""Passes over the rows of one least-squares fit, made outside of its program: block by block, by whoever is asked.

An engine that goes by passes asks for one at a time, and says what it does with the sum: see `ByPasses`. Each is a sum
over row blocks in a fixed order (`normal`). Here a block's part is one call of one compiled function, so its bits
depend on the block alone, and neither on who calls nor on the blocks beside.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from functools import partial
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from campaign.engines.base import Info, Result
from campaign.engines.batch import Work
from campaign.engines.xla import compile_lowered, settled
from campaign.problem.target import Target


class Pass(IntEnum):
    """What a pass over the rows gives: a code, for messages between processes."""

    NORMAL = 0  # loss, gradient and Gauss–Newton matrix, with the engine's loss
    PLAIN = 1  # the same with the linear loss: χ²
    TRIANGLE = 2  # R of [J r]
    LINEAR = 3  # of separable problems: Gram matrix of [Φ r] by group, with the engine's loss
    LINEAR_PLAIN = 4  # the same with the linear loss
    ARROW = 5  # Gram matrix of [Φ J r] by group
    TRIANGLES = 6  # R of [Φ J r] by group


NOTHING = -1  # no pass is needed


class Question(NamedTuple):
    """The pass that an engine needs next, and what it knows from those before.

    Attributes:
        kind: a code of `Pass`, or `NOTHING`.
        u: where, in the coordinates of the target.
        found: what `step` or `finish` will be given.
        memory: what else `after_pass` needs.
    """

    kind: Int[Array, ""]
    u: Float[Array, " d"]
    found: Any
    memory: Any


@runtime_checkable
class ByPasses(Protocol):
    """An engine whose passes over the rows may be made elsewhere: `step` and `finish` take what they gave.

    All methods but the first two are traced.

    Attributes:
        usual_passes: those that every fit needs.
    """

    @property
    def usual_passes(self) -> tuple[Pass, ...]: ...

    def n_parts(self, target: Target) -> int:
        """How many row blocks there are: works on shapes."""
        ...

    def part(self, kind: Pass, target: Target, u: Float[Array, " d"], chunk: Int[Array, ""]) -> Float[Array, " width"]:
        """What one row block adds, as one vector."""
        ...

    def first_pass(self, target: Target, state: Any) -> Question:
        """What the next step needs first."""
        ...

    def after_pass(self, kind: Pass, target: Target, asked: Question, parts: Float[Array, "n width"]) -> Question:
        """What it needs then, with the parts of all row blocks in their order."""
        ...

    def step(self, target: Target, state: Any, given: Any = None) -> tuple[Any, Info]: ...

    def last_pass(self, target: Target, state: Any) -> Question:
        """What `finish` needs first."""
        ...

    def finish(self, target: Target, state: Any, given: Any = None) -> Result: ...


def goes_by_passes(work: Work) -> bool:
    """Whether a fit may be made by passes: its engine can, and its problem gives residuals by row blocks."""
    return isinstance(work.engine, ByPasses) and work.target.is_chunked


def n_parts(work: Work) -> int:
    """How many row blocks the fit of one run has."""
    engine: Any = work.engine
    return engine.n_parts(work.target)


def part(kind: Pass, work: Work, u: Float[Array, " d"], chunk: Int[Array, ""]) -> Float[Array, " width"]:
    """What one row block adds, as one vector."""
    engine: Any = work.engine
    return engine.part(kind, work.target, u, chunk)


class PartCalls:
    """`part`, compiled for the runs of one program: each kind when it is first asked for.

    Attributes:
        n_parts: how many row blocks the fit of one run has.
    """

    def __init__(self, one: Work) -> None:
        """Args:
        one: the work of a run; shapes and types are enough.
        """
        self.n_parts = n_parts(one)
        self._one, self._calls = one, {}
        self._traced = {kind: jax.jit(partial(part, kind)) for kind in Pass}

    def width(self, kind: Pass) -> int:
        """Length of a part."""
        return self._traced[kind].eval_shape(*self._arguments()).shape[0]

    def prepare(self, kind: Pass) -> Callable[..., Any]:
        """Trace and lower now; the function that is returned compiles."""
        with settled():
            lowered = self._traced[kind].lower(*self._arguments())
        return lambda: self._calls.setdefault(kind, compile_lowered(lowered))

    def _arguments(self) -> tuple[Any, Any, Any]:
        d, dtype = len(self._one.target.space), self._one.target.base.dtype
        return self._one, jax.ShapeDtypeStruct((d,), dtype), jax.ShapeDtypeStruct((), jnp.int32)

    def __call__(self, kind: Pass, work: Work, u: np.ndarray, chunk: int) -> np.ndarray:
        """The part of one row block."""
        call = self._calls[kind] if kind in self._calls else self.prepare(kind)()
        return np.asarray(call(work, u, np.int32(chunk)))
