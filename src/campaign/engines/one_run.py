"""What happens to one run: start, steps and end, as functions that a program maps over its lanes."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from campaign.engines.base import AbstractEngine, Outcome, Result
from campaign.engines.batch import Lanes, Work


def fill_value(dtype: Any) -> float | int:
    """Stands for "not reached" in a trace."""
    return jnp.nan if jnp.issubdtype(dtype, jnp.floating) else -1


def recorded_as(info: dict[str, Array]) -> dict[str, Array]:
    """What a step tells, in the types of the trace."""
    return {k: v.astype(jnp.int8) if v.dtype == bool else v for k, v in info.items()}


def _key(seed: int | Array, words: Int[Array, " 4"]) -> Array:
    """Random key of a run: (root seed, run id) by fold_in; order and placement never enter."""
    key = jax.random.key(seed)
    for i in range(4):
        key = jax.random.fold_in(key, words[i])
    return key


def one_init(work: Work, seed: Array, words: Array) -> tuple[Any, Array]:
    """State of one run before its first step, and whether it can begin."""
    state = work.engine.init(work.target, _key(seed, words))
    return state, work.engine.outcome(state)


@partial(jax.jit, inline=True)  # traced once, for its shapes and for the loop's body
def _step(work: Work, state: Any) -> tuple[Any, dict[str, Array]]:
    return work.engine.step(work.target, state)


def after_step(work: Work, state: Any, n_steps: Int[Array, ""]) -> Lanes:
    """Where a run stands in a state that it has reached after so many steps."""
    outcome = work.engine.outcome(state)
    spent = (outcome == Outcome.RUNNING) & (n_steps >= work.engine.n_steps(work.target))
    return Lanes(state, n_steps, jnp.where(spent, work.engine.at_budget(), outcome).astype(jnp.int32))


def one_advance(work: Work, lane: Lanes) -> tuple[Lanes, dict[str, Array]]:
    """The steps of one run up to the next multiple of `chunk_steps`: (lane, trace fields of shape (chunk_steps, …)).

    A run that is continued may begin inside a chunk; what it did of the chunk before is filled.
    """
    engine, target = work
    steps = engine.chunk_steps
    first = lane.n_steps % steps
    if type(engine).prepare is not AbstractEngine.prepare:
        prepared = engine.prepare(target, lane.state)
        lane = lane._replace(state=jax.tree.map(partial(jnp.where, first == 0), prepared, lane.state))
    shape = jax.eval_shape(lambda s: recorded_as(_step(work, s)[1]), lane.state)
    buffers = {k: jnp.full((steps, *v.shape), fill_value(v.dtype), v.dtype) for k, v in shape.items()}

    def body(carry):
        lane, buffers, k = carry
        state, info = _step(work, lane.state)
        recorded = recorded_as(info)
        buffers = {n: jax.lax.dynamic_update_index_in_dim(buffers[n], recorded[n], k, 0) for n in buffers}
        return after_step(work, state, lane.n_steps + 1), buffers, k + 1

    def running(carry):
        lane, _, k = carry
        return (lane.outcome == Outcome.RUNNING) & (k < steps)

    lane, buffers, _ = jax.lax.while_loop(running, body, (lane, buffers, first.astype(jnp.int32)))
    return lane, buffers


def one_finish(work: Work, lane: Lanes, *given: Any) -> tuple[Result, dict[str, Array]]:
    """Result and derived numbers of one run. `given`: what the engine's `finish` takes besides the state."""
    engine, target = work
    result = engine.finish(target, lane.state, *given)
    derived = target.derived_at(result.theta)
    return result, {k: jnp.asarray(v, result.theta.dtype) for k, v in derived.items()}
