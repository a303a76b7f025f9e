"""What `trf` asks the rows for: normal equations, and the triangle of J where these are ill-conditioned."""

from __future__ import annotations

from typing import Protocol

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from campaign.engines.normal import Given, Normal, Robust, partial, partial_triangle, tree_sum, tree_triangle
from campaign.engines.passes import NOTHING, Pass, Question
from campaign.problem.target import Target


class Asks(Protocol):
    """What is to be known of the engine."""

    @property
    def robust(self) -> Robust: ...

    @property
    def chunk(self) -> int: ...

    def lacks_triangle(self, target: Target, at: Normal) -> Bool[Array, ""]: ...


def normal_part(engine: Asks, kind: Pass, target: Target, u: Float[Array, " d"], chunk: Int[Array, ""]) -> Array:
    """See `ByPasses.part`."""
    if kind == Pass.TRIANGLE:
        return jnp.ravel(partial_triangle(target, u, chunk, engine.robust, engine.chunk))
    robust = engine.robust if kind == Pass.NORMAL else engine.robust._replace(kind="linear")
    at = partial(target, u, chunk, robust, engine.chunk)
    return jnp.concatenate([at.loss[None], at.gradient, jnp.ravel(at.hessian)])


def question(kind: Array, u: Float[Array, " d"], then: Array) -> Question:
    """Nothing is known yet. `then`: the pass after a plain one."""
    d = u.shape[0]
    none = Given(
        Normal(jnp.zeros_like(u, shape=()), jnp.zeros_like(u), jnp.zeros_like(u, shape=(d, d))),
        jnp.zeros_like(u, shape=(d + 1, d + 1)),
    )
    return Question(kind.astype(jnp.int32), u, none, then.astype(jnp.int32))


def after_normal(engine: Asks, kind: Pass, target: Target, asked: Question, parts: Float[Array, "n width"]) -> Question:
    """See `ByPasses.after_pass`."""
    d = asked.u.shape[0]
    nothing = jnp.asarray(NOTHING, jnp.int32)
    if kind == Pass.TRIANGLE:
        factor = tree_triangle(parts.reshape(-1, d + 1, d + 1))
        return asked._replace(kind=nothing, found=asked.found._replace(triangle=factor))
    total = tree_sum(parts)
    at = Normal(total[0], total[1 : d + 1], total[d + 1 :].reshape(d, d))
    lacks = jnp.where(engine.lacks_triangle(target, at), jnp.int32(Pass.TRIANGLE), nothing)
    following = lacks if kind == Pass.NORMAL else asked.memory
    return asked._replace(kind=following, found=asked.found._replace(normal=at))
