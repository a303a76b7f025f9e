"""Programs of compiled steps: the functions of one run, mapped over the lanes of a block.

Runs are lanes of one compiled call. On a CPU they go through it one after another (`lanes` = 1: a slow run does not
hold up the others, and no run's numbers depend on its neighbours); on a GPU all at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from campaign.engines.base import Outcome
from campaign.engines.batch import Batch, Lanes, Work
from campaign.engines.one_run import one_advance, one_finish, one_init
from campaign.engines.program import Shapes
from campaign.engines.xla import at_once, compile_lowered, settled


@dataclass(frozen=True, eq=False)
class Compiled:
    """A `Program`: three compiled calls, and what their output looks like."""

    init: Callable[..., Any]
    advance: Callable[..., Any]
    finish: Callable[..., Any]
    shapes: Shapes
    compile_s: float

    def close(self) -> None:
        return None


def _over_runs(function: Callable, is_batched: Any, lanes: int) -> Callable:
    """`function(work, *rest)` over the run axis: one run after another (`lanes` = 1), or all of them together."""

    def call(work: Work, *rest):
        own, shared = eqx.partition(work, is_batched)

        def one(run: tuple[Any, ...]) -> Any:
            return function(eqx.combine(run[0], shared), *run[1])

        return jax.lax.map(one, (own, rest)) if lanes == 1 else jax.vmap(one)((own, rest))

    return call


class _Calls(NamedTuple):
    """The three calls of a program before compilation, and what they take."""

    init: Callable[..., Any]
    advance: Callable[..., Any]
    finish: Callable[..., Any]
    arguments: tuple[Any, ...]


def _calls(batch: Batch, lanes: int) -> _Calls:
    def init(work, words, seed, is_valid):
        state, outcome = _over_runs(lambda w, x: one_init(w, seed, x), batch.is_batched, lanes)(work, words)
        outcome = jnp.where(is_valid, outcome, Outcome.ERROR).astype(jnp.int32)
        return Lanes(state, jnp.zeros(outcome.shape, jnp.int32), outcome)

    advance = _over_runs(one_advance, batch.is_batched, lanes)
    finish = _over_runs(one_finish, batch.is_batched, lanes)
    work = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), batch.work)
    words = jax.ShapeDtypeStruct(batch.words.shape, jnp.uint32)
    valid = jax.ShapeDtypeStruct((len(batch.words),), jnp.bool_)
    return _Calls(init, advance, finish, (work, words, jax.ShapeDtypeStruct((), jnp.uint32), valid))


def shapes_of(batch: Batch) -> Shapes:
    """Shapes of a program's output, without compiling it."""
    calls = _calls(batch, 1)
    state = jax.eval_shape(calls.init, *calls.arguments)
    info = jax.eval_shape(calls.advance, calls.arguments[0], state)[1]
    return Shapes(info, jax.eval_shape(calls.finish, calls.arguments[0], state))


def compile_program(batch: Batch, *, lanes: int, meanwhile: Callable[[], None] = lambda: None) -> Compiled:
    """Compile the calls of a program for blocks shaped like `batch`.

    Args:
        batch: an example block; only its structure, shapes and dtypes matter.
        lanes: runs that a device advances together (1 on a CPU).
        meanwhile: called while the compiler is at work.
    """
    started = time.perf_counter()
    calls = _calls(batch, lanes)
    work = calls.arguments[0]
    with settled():
        init = jax.jit(calls.init).lower(*calls.arguments)
        advance = jax.jit(calls.advance).lower(work, init.out_info)
        finish = jax.jit(calls.finish).lower(work, init.out_info)
    lowered = {"init": init, "advance": advance, "finish": finish}
    compiled = at_once({name: partial(compile_lowered, one) for name, one in lowered.items()}, meanwhile)
    shapes = Shapes(advance.out_info[1], finish.out_info)
    return Compiled(**compiled, shapes=shapes, compile_s=time.perf_counter() - started)


def compile_advance(batch: Batch, *, lanes: int) -> Callable[..., Any]:
    """The `advance` of `compile_program` alone."""
    calls = _calls(batch, lanes)
    with settled():
        state = jax.eval_shape(calls.init, *calls.arguments)
        return compile_lowered(jax.jit(calls.advance).lower(calls.arguments[0], state))
