"""The one loop: drives any engine for all runs of a block, in chunks of steps, and hands trace and state over between.

Runs are lanes of one compiled call. On a CPU they go through it one after another (`lanes` = 1: a slow run holds nobody
up and no run's numbers depend on its neighbours); on a GPU all at once. Finished lanes are frozen. A block with fewer
runs than its capacity is padded with lanes that are finished from the start, so a program is compiled once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, Protocol

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from campaign.engines.base import AbstractEngine, Outcome, Result
from campaign.engines.xla import compile_lowered, settled
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


class Sink(Protocol):
    """Where the loop hands over what it has."""

    def trace(self, chunk: int, fields: dict[str, np.ndarray]) -> None:
        """Trace of one chunk of steps, arrays (B, chunk_steps, …), unreached steps filled."""

    def between(self, next_chunk: int, leaves: Callable[[], Sequence[np.ndarray]]) -> bool:
        """Called between chunks; may save the state (`leaves()` fetches it). True: stop here."""
        ...

    def is_late(self) -> bool:
        """Whether the block has used up its time: what has not ended then ends with outcome "timeout"."""
        ...


class Stopped(Exception):
    """The sink asked the loop to stop between two chunks."""


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


def _over_runs(function: Callable, is_batched: Any, lanes: int) -> Callable:
    """`function(work, *rest)` over the run axis: one run after another, or `lanes` of them together."""

    def call(work: Work, *rest):
        own, shared = eqx.partition(work, is_batched)
        return jax.lax.map(
            lambda args: function(eqx.combine(args[0], shared), *args[1]),
            (own, rest),
            batch_size=None if lanes == 1 else lanes,
        )

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


class Shapes(NamedTuple):
    """What a block of a program gives: trace of one chunk, results and derived numbers, as shapes and types."""

    info: dict[str, jax.ShapeDtypeStruct]
    result: tuple[Result, dict[str, jax.ShapeDtypeStruct]]


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
    with ThreadPoolExecutor(3) as pool:
        compiling = [pool.submit(compile_lowered, lowered) for lowered in (init, advance, finish)]
        meanwhile()
        compiled = [one.result() for one in compiling]
    shapes = Shapes(advance.out_info[1], finish.out_info)
    return Compiled(*compiled, shapes=shapes, compile_s=time.perf_counter() - started)


def compile_advance(batch: Batch, *, lanes: int) -> Callable[..., Any]:
    """The `advance` of `compile_program` alone."""
    calls = _calls(batch, lanes)
    with settled():
        state = jax.eval_shape(calls.init, *calls.arguments)
        return compile_lowered(jax.jit(calls.advance).lower(calls.arguments[0], state))


class Finished(NamedTuple):
    """What a block leaves, in NumPy with a leading run axis.

    Attributes:
        derived: numbers that follow from theta.
        judged: metrics of the engine's monitor.
        lanes: where the runs stand.
    """

    result: Result
    derived: dict[str, np.ndarray]
    judged: dict[str, np.ndarray]
    n_steps: np.ndarray
    outcome: np.ndarray
    lanes: Lanes


class Continued(NamedTuple):
    """Runs that did steps in earlier blocks and now get more.

    Attributes:
        leaves: of their `Lanes`. Those that go on are running and have all done the same number of steps, the most.
        trace: number of a chunk of steps → what is traced of it, as `advance` gives it.
    """

    leaves: Sequence[np.ndarray]
    trace: Callable[[int], dict[str, np.ndarray]]


def run_lanes(
    program: Program,
    batch: Batch,
    is_valid: np.ndarray,
    sink: Sink,
    resume: tuple[Sequence[np.ndarray], int] | None = None,
    continued: Continued | None = None,
) -> Finished:
    """Run a block to its end.

    The trace of a chunk is handed over while the device is already at the next one.

    Args:
        program: for blocks of this shape.
        batch: the runs.
        is_valid: False for padding and for runs that could not be built.
        sink: receives traces and decides about checkpoints and stopping.
        resume: leaves and next chunk of a checkpoint; continues bit for bit.
        continued: where runs stood that get more steps; counts when there is no checkpoint.

    Raises:
        Stopped: the sink asked for it; the state was offered to it first.
    """
    try:
        return _run_lanes(program, batch, is_valid, sink, resume, continued)
    finally:
        program.close()


def _run_lanes(
    program: Program,
    batch: Batch,
    is_valid: np.ndarray,
    sink: Sink,
    resume: tuple[Sequence[np.ndarray], int] | None,
    continued: Continued | None,
) -> Finished:
    watch = _Watch(batch.work.engine, len(batch.words), sink)
    work = jax.device_put(batch.work)
    lanes = program.init(work, batch.words, np.uint32(batch.seed), is_valid)
    chunk, begun = 0, {}
    if resume is not None:
        leaves, chunk = resume
        n_leaves = jax.tree.structure(lanes).num_leaves
        watch.load(leaves[n_leaves:])
        lanes = _filled(lanes, leaves[:n_leaves])
    elif continued is not None and _fits(lanes, continued.leaves):
        lanes = _filled(lanes, continued.leaves)
        chunk, begun = watch.take_over(continued, lanes)
    waiting: Mapping[str, Array | np.ndarray] | None = None
    while bool(np.any(np.asarray(lanes.outcome) == Outcome.RUNNING)):
        if waiting is not None and sink.is_late():
            ended = jnp.where(lanes.outcome == Outcome.RUNNING, int(Outcome.TIMEOUT), lanes.outcome)
            lanes = lanes._replace(outcome=ended.astype(jnp.int32))
            break
        following, trace = program.advance(work, lanes)  # returns at once; the device goes on
        if begun:
            trace, begun = watch.joined(begun, trace, lanes), {}
        if waiting is not None:
            watch.hand_over(chunk - 1, waiting, lanes)
            now = lanes
            if sink.between(chunk, lambda: watch.leaves(now)):  # noqa: B023
                raise Stopped
        lanes, waiting, chunk = following, trace, chunk + 1
    if waiting is not None:
        watch.hand_over(chunk - 1, waiting, lanes)
    finished = program.finish(work, watch.settled(lanes))
    result, derived = jax.tree.map(np.asarray, finished)
    n_steps = np.asarray(lanes.n_steps)
    return Finished(result, derived, watch.metrics(n_steps), n_steps, np.asarray(lanes.outcome), lanes)


def are_spent(batch: Batch, lanes: Lanes) -> np.ndarray:
    """Which runs have ended only because their steps were used up."""
    axes = jax.tree.map(lambda is_own: 0 if is_own else None, batch.is_batched.engine)
    engine = batch.work.engine
    own = jax.vmap(lambda one, state: one.outcome(state), in_axes=(axes, 0))(engine, lanes.state)
    at_budget = np.asarray(lanes.outcome) == engine.at_budget()
    return at_budget & (np.asarray(own) == Outcome.RUNNING)


def _fits(lanes: Lanes, leaves: Sequence[np.ndarray]) -> bool:
    """Whether leaves are of the same shapes and types as those of the lanes."""
    return [(x.shape, x.dtype) for x in jax.tree.leaves(lanes)] == [(x.shape, x.dtype) for x in leaves]


def _filled(lanes: Lanes, leaves: Sequence[np.ndarray]) -> Lanes:
    return jax.tree.unflatten(jax.tree.structure(lanes), [jnp.asarray(leaf) for leaf in leaves])


class _Watch:
    """Hands each chunk of the trace to the engine's monitor and to the sink."""

    def __init__(self, engine: AbstractEngine, n_runs: int, sink: Sink) -> None:
        self.monitor, self.sink, self.chunk_steps = engine.monitor(n_runs), sink, engine.chunk_steps

    def take_over(self, continued: Continued, lanes: Lanes) -> tuple[int, dict[str, np.ndarray]]:
        """Hand over the steps that were done. Returns the next chunk, and what is done of it."""
        n = int(np.max(np.asarray(lanes.n_steps)))
        is_over = not np.any(np.asarray(lanes.outcome) == Outcome.RUNNING)
        chunk = -(-n // self.chunk_steps) if is_over else n // self.chunk_steps
        for number in range(chunk):
            self.hand_over(number, continued.trace(number), lanes)
        return chunk, {} if is_over or n % self.chunk_steps == 0 else continued.trace(chunk)

    def joined(self, begun: dict[str, np.ndarray], trace: dict[str, Array], lanes: Lanes) -> dict[str, np.ndarray]:
        """A chunk of which some steps were done before `lanes` went on."""
        n = int(np.max(np.asarray(lanes.n_steps))) % self.chunk_steps
        return {k: np.concatenate([begun[k][:, :n], np.asarray(v)[:, n:]], axis=1) for k, v in trace.items()}

    def hand_over(self, chunk: int, trace: Mapping[str, Array | np.ndarray], lanes: Lanes) -> None:
        fields = {k: np.asarray(v) for k, v in trace.items()}
        if self.monitor is not None:
            self.monitor.take(fields, chunk * self.chunk_steps, int(np.max(np.asarray(lanes.n_steps))))
        self.sink.trace(chunk, fields)

    def settled(self, lanes: Lanes) -> Lanes:
        """The lanes with what the monitor knows of the whole trace put into the engine's state."""
        found = self.monitor.estimates(np.asarray(lanes.n_steps)) if self.monitor is not None else {}
        if not found:
            return lanes
        own = {k: jnp.asarray(v, getattr(lanes.state, k).dtype) for k, v in found.items()}
        return lanes._replace(state=lanes.state._replace(**own))

    def leaves(self, lanes: Lanes) -> list[np.ndarray]:
        own = [np.asarray(leaf) for leaf in jax.tree.leaves(lanes)]
        return own + (self.monitor.leaves() if self.monitor is not None else [])

    def load(self, leaves: Sequence[np.ndarray]) -> None:
        if self.monitor is not None:
            self.monitor.load(leaves)

    def metrics(self, n_steps: np.ndarray) -> dict[str, np.ndarray]:
        return self.monitor.metrics(n_steps) if self.monitor is not None else {}
