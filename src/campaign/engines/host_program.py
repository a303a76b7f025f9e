"""The program of a host engine: compiled functions of one run, and the engine's algorithm around them, run by run."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from campaign.engines.base import Result
from campaign.engines.batch import Batch, Lanes, Work, take_lanes
from campaign.engines.host import Asked, HostEngine, HostState, Lane, box, place
from campaign.engines.one_run import one_finish
from campaign.engines.outcome import Outcome
from campaign.engines.program import Shapes
from campaign.engines.stepwise import Stepwise
from campaign.engines.xla import compiled_calls, settled


def work_of(work: Work, is_batched: Any, i: int | None) -> Work:
    """The work of run i; None: as shapes and types."""
    if i is None:
        return jax.tree.map(
            lambda leaf, own: jax.ShapeDtypeStruct(leaf.shape[1:] if own else leaf.shape, leaf.dtype), work, is_batched
        )
    return take_lanes(work, is_batched, i)


def _begin(work: Work, words: Array, seed: Array) -> HostState:
    engine: Any = work.engine
    u = work.target.start()
    nothing = jnp.full((), jnp.nan, u.dtype)
    measures = dict.fromkeys(engine.measures, nothing)
    return HostState(u, nothing, nothing, jnp.zeros((), jnp.int32), measures, words, seed)


def _located(work: Work, z: Array) -> tuple[Array, Array]:
    """u and theta of every step of a chunk."""
    u = jax.vmap(lambda one: place(work.target, one))(z)
    return u, jax.vmap(work.target.theta)(u)


class Running(NamedTuple):
    """A run at work: its routine, and its own part of the block's work."""

    steps: Stepwise
    work: Work


class _Traced(NamedTuple):
    """Functions of one run, with the shapes of their arguments, and what a block gives."""

    calls: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]]
    asked: dict[str, Asked]
    state: HostState
    shapes: Shapes


def _traced(batch: Batch) -> _Traced:
    one = work_of(batch.work, batch.is_batched, None)
    engine, target = one
    assert isinstance(engine, HostEngine)
    engine.check(target)
    asked = engine.functions(target)
    d, dtype, n = len(target.space), target.base.dtype, len(batch.words)
    words, seed = jax.ShapeDtypeStruct((4,), jnp.uint32), jax.ShapeDtypeStruct((), jnp.uint32)
    count: Any = jax.ShapeDtypeStruct((), jnp.int32)
    state = jax.eval_shape(_begin, one, words, seed)
    lane = Lanes(state, count, count)
    calls: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
        "begin": (_begin, (one, words, seed)),
        "box": (lambda work: box(work.target), (one,)),
        "locate": (_located, (one, jax.ShapeDtypeStruct((engine.chunk_steps, d), dtype))),
        "finish": (one_finish, (one, lane)),
    }
    for name, entry in asked.items():
        at = jax.ShapeDtypeStruct(entry.shape, dtype)
        calls[f"ask {name}"] = ((lambda work, z, call=entry.call: call(work.target, work.engine, z)), (one, at))
    number, steps = jax.ShapeDtypeStruct((n, engine.chunk_steps), dtype), (n, engine.chunk_steps)
    info = {
        "loss": number,
        "theta": jax.ShapeDtypeStruct((*steps, d), dtype),
        "n_evaluations": jax.ShapeDtypeStruct(steps, jnp.int32),
        **dict.fromkeys(engine.measures, number),
    }
    result = jax.tree.map(lambda x: jax.ShapeDtypeStruct((n, *x.shape), x.dtype), jax.eval_shape(one_finish, one, lane))
    return _Traced(calls, asked, state, Shapes(info, result))


def host_shapes(batch: Batch) -> Shapes:
    """What a block of a host engine gives, without compiling anything."""
    with settled():
        return _traced(batch).shapes


def host_program(batch: Batch, *, meanwhile: Callable[[], None] = lambda: None) -> HostProgram:
    """Compile the functions that a host engine asks of one run. See `compile_program`.

    Raises:
        InvalidValue: the engine cannot run this problem.
    """
    started = time.perf_counter()
    with settled():
        traced = _traced(batch)
    return HostProgram(
        calls=compiled_calls(traced.calls, meanwhile),
        asked=traced.asked,
        is_batched=batch.is_batched,
        shapes=traced.shapes,
        compile_s=time.perf_counter() - started,
    )


@dataclass(frozen=True, eq=False, kw_only=True)
class HostProgram:
    """A `Program` whose runs advance one after another on the host. Drives one block at a time.

    Attributes:
        calls: compiled functions of one run.
        asked: those of them that the engine asks.
        is_batched: which leaves of the work belong to one run.
        running: the runs at work, by lane.
    """

    calls: Mapping[str, Callable[..., Any]]
    asked: Mapping[str, Asked]
    is_batched: Any
    shapes: Shapes
    compile_s: float
    running: dict[int, Running] = field(default_factory=dict)

    def init(self, work: Work, words: np.ndarray, seed: np.uint32, is_valid: np.ndarray) -> Lanes:
        """Nothing is evaluated yet."""
        self.close()
        states = [
            self.calls["begin"](work_of(work, self.is_batched, i), words[i], np.asarray(seed, np.uint32))
            for i in range(len(words))
        ]
        outcome: Any = np.where(is_valid, int(Outcome.RUNNING), int(Outcome.ERROR)).astype(np.int32)
        return Lanes(stacked(states), np.zeros_like(outcome), outcome)

    def advance(self, work: Work, lanes: Lanes) -> tuple[Lanes, dict[str, Any]]:
        """`chunk_steps` steps of every run that has not ended."""
        trace = {
            k: np.full(v.shape, -1 if v.dtype == np.int32 else np.nan, v.dtype) for k, v in self.shapes.info.items()
        }
        lanes = jax.tree.map(np.array, lanes)
        for i in np.flatnonzero(lanes.outcome == Outcome.RUNNING).tolist():
            self._advance_one(work, lanes, i, {name: values[i] for name, values in trace.items()})
        return lanes, trace

    def _advance_one(self, work: Work, lanes: Lanes, i: int, trace: dict[str, np.ndarray]) -> None:
        """One run by a chunk; its rows of `lanes` and `trace` are filled in."""
        n_before, known = int(lanes.n_steps[i]), self.running.get(i)
        run = known if known is not None and known.steps.n_done == n_before else self._begun(work, lanes, i)
        engine: Any = run.work.engine
        n_most = engine.n_steps(run.work.target)
        records = run.steps.until(min(n_before + engine.chunk_steps, n_most))
        state, outcome = lanes.state, run.steps.outcome
        if records:
            z = np.zeros((engine.chunk_steps, len(records[0].z)), trace["theta"].dtype)
            z[: len(records)] = [record.z for record in records]
            u, theta = (np.asarray(x) for x in self.calls["locate"](run.work, z))
            last = records[-1]
            trace["theta"][: len(records)] = theta[: len(records)]
            for k, record in enumerate(records):
                trace["loss"][k], trace["n_evaluations"][k] = record.loss, record.n_evaluations
                for name, value in record.measures.items():
                    trace[name][k] = value
            state.u[i], state.loss[i], state.n_evaluations[i] = u[len(records) - 1], last.loss, last.n_evaluations
            if n_before == 0:
                state.loss_initial[i] = records[0].loss
            for name, value in last.measures.items():
                state.measures[name][i] = value
        lanes.n_steps[i] = n_before + len(records)
        if outcome == Outcome.RUNNING and lanes.n_steps[i] >= n_most:
            outcome = engine.at_budget() if np.isfinite(state.loss[i]) else Outcome.NONFINITE
        lanes.outcome[i] = outcome
        if outcome != Outcome.RUNNING:
            self.running.pop(i).steps.close()

    def _begun(self, work: Work, lanes: Lanes, i: int) -> Running:
        """Run i, led to the step where it stood."""
        if i in self.running:
            self.running.pop(i).steps.close()
        own: Any = jax.tree.map(jnp.asarray, work_of(work, self.is_batched, i))
        box = jax.tree.map(np.array, self.calls["box"](own))
        entropy = [int(lanes.state.seed[i]), *(int(word) for word in lanes.state.words[i])]

        def asking(name: str, n: int) -> Callable[[np.ndarray], tuple[Any, int]]:
            call, dtype = self.calls[f"ask {name}"], own.target.base.dtype
            return lambda z: (jax.tree.map(np.array, call(own, np.asarray(z, dtype))), n)

        ask = {name: asking(name, entry.n_evaluations) for name, entry in self.asked.items()}
        steps = Stepwise(lambda steps: own.engine.minimise(Lane(steps, own.engine, ask, box, entropy)))
        self.running[i] = run = Running(steps, own)
        if lanes.n_steps[i]:
            steps.until(int(lanes.n_steps[i]))
        return run

    def finish(self, work: Work, lanes: Lanes) -> tuple[Result, dict[str, Any]]:
        """Results and derived numbers; runs that are still at work are ended."""
        self.close()
        lanes = jax.tree.map(np.asarray, lanes)
        own = [jax.tree.map(lambda leaf: leaf[i], lanes) for i in range(len(lanes.outcome))]  # noqa: B023
        return stacked([self.calls["finish"](work_of(work, self.is_batched, i), lane) for i, lane in enumerate(own)])

    def close(self) -> None:
        """End the runs that are still at work, with their threads."""
        while self.running:
            self.running.popitem()[1].steps.close()


def stacked(trees: list[Any]) -> Any:
    """Trees of runs as one with a leading run axis, in NumPy."""
    return jax.tree.map(lambda *leaves: np.stack([np.asarray(leaf) for leaf in leaves]), *trees)
