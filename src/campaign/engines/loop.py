"""The one loop: drives any engine for all runs of a block, in chunks of steps, and hands trace and state over between.

Finished lanes are frozen. A block with fewer runs than its capacity is padded with lanes that are finished from the
start, so a program is compiled once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from campaign.engines.base import AbstractEngine, Outcome, Result
from campaign.engines.batch import Batch, Lanes
from campaign.engines.program import Program


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
        self.engine, self.sink, self.chunk_steps = engine, sink, engine.chunk_steps
        self.monitor = engine.monitor(n_runs)

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
        return lanes._replace(state=self.engine.settled(lanes.state, found)) if found else lanes

    def leaves(self, lanes: Lanes) -> list[np.ndarray]:
        own = [np.asarray(leaf) for leaf in jax.tree.leaves(lanes)]
        return own + (self.monitor.leaves() if self.monitor is not None else [])

    def load(self, leaves: Sequence[np.ndarray]) -> None:
        if self.monitor is not None:
            self.monitor.load(leaves)

    def metrics(self, n_steps: np.ndarray) -> dict[str, np.ndarray]:
        return self.monitor.metrics(n_steps) if self.monitor is not None else {}
