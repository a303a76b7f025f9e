"""Passes over the rows of one least-squares fit, made outside of its program: block by block, by whoever is asked.

A fit by row blocks asks the data for three things only: the normal equations at a point, the loss there without robust
weights, and the triangle of J. Each is a sum over row blocks in a fixed order (`normal`). Here a block's part is one
call of one compiled function, so its bits depend on the block alone, and neither on who calls nor on the blocks beside.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from campaign.engines.base import Info, Result
from campaign.engines.batch import Work
from campaign.engines.normal import Given, Normal, Robust, n_chunks, partial, partial_triangle, tree_sum, tree_triangle
from campaign.engines.xla import compile_lowered, settled
from campaign.problem.target import Target


class Pass(IntEnum):
    """What a pass over the rows gives: a code, for messages between processes."""

    NORMAL = 0  # loss, gradient and Gauss–Newton matrix, with the engine's loss
    PLAIN = 1  # the same with the linear loss: χ²
    TRIANGLE = 2  # R of [J r]


@runtime_checkable
class ByPasses(Protocol):
    """An engine whose passes over the rows may be made elsewhere: `step` and `finish` take what they gave.

    Attributes:
        chunk: rows of a block.
        robust: the loss that weighs the residuals.
    """

    @property
    def chunk(self) -> int: ...

    @property
    def robust(self) -> Robust: ...

    def next_u(self, state: Any) -> Float[Array, " d"]:
        """Where the next step needs the normal equations."""
        ...

    def lacks_triangle(self, target: Target, at: Normal) -> Bool[Array, ""]:
        """Whether a step there needs the triangle of J as well."""
        ...

    def step(self, target: Target, state: Any, given: Given | None = None) -> tuple[Any, Info]: ...

    def last_passes(self, state: Any) -> tuple[bool, bool]:
        """Whether `finish` needs the plain loss, and the triangle, at the last accepted point. On the host."""
        ...

    def last_u(self, state: Any) -> Float[Array, " d"]:
        """That point."""
        ...

    def finish(self, target: Target, state: Any, given: Given | None = None) -> Result: ...


def goes_by_passes(work: Work) -> bool:
    """Whether a fit may be made by passes: its engine can, and its problem gives residuals by row blocks."""
    return isinstance(work.engine, ByPasses) and work.target.is_chunked


def n_parts(work: Work) -> int:
    """How many row blocks the fit of one run has."""
    return n_chunks(work.target, work.engine.chunk)  # pyright: ignore[reportAttributeAccessIssue]


def part(kind: Pass, work: Work, u: Float[Array, " d"], chunk: Int[Array, ""]) -> Float[Array, " width"]:
    """What one row block adds, as one vector."""
    engine: Any = work.engine
    if kind == Pass.TRIANGLE:
        return jnp.ravel(partial_triangle(work.target, u, chunk, engine.robust, engine.chunk))
    robust = engine.robust if kind == Pass.NORMAL else engine.robust._replace(kind="linear")
    at = partial(work.target, u, chunk, robust, engine.chunk)
    return jnp.concatenate([at.loss[None], at.gradient, jnp.ravel(at.hessian)])


def joined_normal(parts: Float[Array, "n width"], d: int) -> Normal:
    """The normal equations from the parts of all row blocks, in their order."""
    total = tree_sum(parts)
    return Normal(total[0], total[1 : d + 1], total[d + 1 :].reshape(d, d))


def joined_triangle(parts: Float[Array, "n width"], d: int) -> Float[Array, "e e"]:
    """R of all rows from those of the row blocks."""
    return tree_triangle(parts.reshape(-1, d + 1, d + 1))


class PartCalls:
    """`part`, compiled for the runs of one program: each kind when it is first asked for."""

    def __init__(self, one: Work) -> None:
        """Args:
        one: the work of a run; shapes and types are enough.
        """
        self._one, self._calls = one, {}

    def prepare(self, kind: Pass) -> Callable[..., Any]:
        """Trace and lower now; the function that is returned compiles."""
        with settled():
            d, dtype = len(self._one.target.space), self._one.target.base.dtype
            u, chunk = jax.ShapeDtypeStruct((d,), dtype), jax.ShapeDtypeStruct((), jnp.int32)
            lowered = jax.jit(lambda work, u, k: part(kind, work, u, k)).lower(self._one, u, chunk)
        return lambda: self._calls.setdefault(kind, compile_lowered(lowered))

    def __call__(self, kind: Pass, work: Work, u: np.ndarray, chunk: int) -> np.ndarray:
        """The part of one row block."""
        call = self._calls[kind] if kind in self._calls else self.prepare(kind)()
        return np.asarray(call(work, u, np.int32(chunk)))
