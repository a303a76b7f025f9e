"""The program of least-squares fits by row blocks: steps are compiled, passes over the rows are made block by block.

The host goes from one to the other: it asks for the parts of all row blocks at a point, and gives their sum to the next
step. Who computes which part is a `Crew`'s affair; this process can compute all of them. A part is always one call of
one compiled function, and parts are added in the order of the blocks, so a fit has the same bits with any crew.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from campaign.engines.base import Result
from campaign.engines.batch import Batch, Lanes, Work
from campaign.engines.host_program import stacked, work_of
from campaign.engines.one_run import after_step, fill_value, one_finish, one_init, recorded_as
from campaign.engines.outcome import Outcome
from campaign.engines.passes import NOTHING, PartCalls, Pass, Question
from campaign.engines.program import Shapes
from campaign.engines.xla import compile_lowered, compiled_calls, settled


class Ask(NamedTuple):
    """One pass over the rows of one run.

    Attributes:
        run: the 16 bytes of its `Batch.words`, which say which run of the block it is.
        u: where.
    """

    kind: Pass
    run: bytes
    u: np.ndarray


class Crew(Protocol):
    """Those who compute the parts of the row blocks.

    Attributes:
        size: processes.
    """

    @property
    def size(self) -> int: ...

    def parts(self, ask: Ask, blocks: range, own: Callable[[int], np.ndarray]) -> np.ndarray:
        """The parts of these row blocks in their order, (n, width). `own` computes one of them in this process."""
        ...


class Alone:
    """This process computes all parts."""

    size = 1

    def parts(self, ask: Ask, blocks: range, own: Callable[[int], np.ndarray]) -> np.ndarray:
        return np.stack([own(k) for k in blocks])


def _first(work: Work, lane: Lanes) -> Question:
    engine: Any = work.engine
    return engine.first_pass(work.target, lane.state)


def _last(work: Work, lane: Lanes) -> Question:
    engine: Any = work.engine
    return engine.last_pass(work.target, lane.state)


def _after(kind: Pass) -> Callable[[Work, Question, Array], Question]:
    def after(work: Work, asked: Question, parts: Array) -> Question:
        engine: Any = work.engine
        return engine.after_pass(kind, work.target, asked, parts)

    return after


def _step(work: Work, lane: Lanes, given: Any) -> tuple[Lanes, dict[str, Array]]:
    engine: Any = work.engine
    state, info = engine.step(work.target, lane.state, given)
    return after_step(work, state, lane.n_steps + 1), recorded_as(info)


class _Traced(NamedTuple):
    calls: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]]
    shapes: Shapes


def _traced(batch: Batch, one: Work, parts: PartCalls) -> _Traced:
    engine: Any = one.engine
    dtype, n = one.target.base.dtype, len(batch.words)

    def array(*shape: int, dtype: Any = dtype) -> Any:
        return jax.ShapeDtypeStruct(shape, dtype)

    init, first, last, step, finish = (jax.jit(call) for call in (one_init, _first, _last, _step, one_finish))
    start = (one, array(dtype=jnp.uint32), array(4, dtype=jnp.uint32))
    state, _ = init.eval_shape(*start)
    lane = Lanes(state, array(dtype=jnp.int32), array(dtype=jnp.int32))
    asked, left = first.eval_shape(one, lane), last.eval_shape(one, lane)
    calls: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
        "init": (init, start),
        "first": (first, (one, lane)),
        "last": (last, (one, lane)),
        "step": (step, (one, lane, asked.found)),
        "finish": (finish, (one, lane, left.found)),
    }
    for kind in engine.usual_passes:
        calls[_name(kind)] = (_after(kind), (one, asked, array(parts.n_parts, parts.width(kind))))
    info, steps = step.eval_shape(one, lane, asked.found)[1], (n, engine.chunk_steps)
    result = finish.eval_shape(one, lane, left.found)
    shapes = Shapes(
        {name: array(*steps, *x.shape, dtype=x.dtype) for name, x in info.items()},
        jax.tree.map(lambda x: array(n, *x.shape, dtype=x.dtype), result),
    )
    return _Traced(calls, shapes)


def _name(kind: Pass) -> str:
    return f"after {kind.name}"


def row_program(batch: Batch, *, meanwhile: Callable[[], None] = lambda: None) -> RowProgram:
    """Compile the steps of a fit by row blocks, and the part of a block. See `compile_program`."""
    started = time.perf_counter()
    one: Any = work_of(batch.work, batch.is_batched, None)
    parts = PartCalls(one)
    with settled():
        traced = _traced(batch, one, parts)
    usual = {f"part {kind.name}": parts.prepare(kind) for kind in one.engine.usual_passes}
    calls = compiled_calls(traced.calls, meanwhile, **usual)
    return RowProgram(
        calls=calls,
        parts=parts,
        is_batched=batch.is_batched,
        shapes=traced.shapes,
        compile_s=time.perf_counter() - started,
    )


@dataclass(frozen=True, eq=False, kw_only=True)
class RowProgram:
    """A `Program` whose runs advance one after another, each pass over the rows by all of the crew.

    Attributes:
        calls: compiled functions of one run.
        parts: the compiled part of a row block.
        is_batched: which leaves of the work belong to one run.
        crew: who computes the parts.
        runs: of the block at work: what `Ask.run` says of each lane.
    """

    calls: dict[str, Callable[..., Any]]
    parts: PartCalls
    is_batched: Any
    shapes: Shapes
    compile_s: float
    crew: Crew = field(default_factory=Alone)
    runs: list[bytes] = field(default_factory=list)

    def init(self, work: Work, words: np.ndarray, seed: np.uint32, is_valid: np.ndarray) -> Lanes:
        """Nothing is evaluated yet."""
        self.runs[:] = [own.tobytes() for own in words]
        seed_ = np.asarray(seed, np.uint32)
        begun = [self.calls["init"](work_of(work, self.is_batched, i), seed_, own) for i, own in enumerate(words)]
        state, outcome = stacked(begun)
        outcome: Any = np.where(is_valid, outcome, Outcome.ERROR).astype(np.int32)
        return Lanes(state, np.zeros_like(outcome), outcome)

    def advance(self, work: Work, lanes: Lanes) -> tuple[Lanes, dict[str, Any]]:
        """Every run that has not ended, to the next multiple of `chunk_steps` steps."""
        trace = {name: np.full(x.shape, fill_value(x.dtype), x.dtype) for name, x in self.shapes.info.items()}
        lanes = jax.tree.map(np.array, lanes)
        for i in np.flatnonzero(lanes.outcome == Outcome.RUNNING).tolist():
            own: Any = work_of(work, self.is_batched, i)
            lane: Any = jax.tree.map(lambda leaf: leaf[i], lanes)  # noqa: B023
            steps = own.engine.chunk_steps
            for k in range(int(lane.n_steps) % steps, steps):
                given = self._answered(own, i, self.calls["first"](own, lane))
                lane, info = self.calls["step"](own, lane, given)
                for name, values in trace.items():
                    values[i, k] = info[name]
                if int(lane.outcome) != Outcome.RUNNING:
                    break
            for all_, one in zip(jax.tree.leaves(lanes), jax.tree.leaves(lane), strict=True):
                all_[i] = one
        return lanes, trace

    def finish(self, work: Work, lanes: Lanes) -> tuple[Result, dict[str, Any]]:
        """Results and derived numbers."""
        ended = [jax.tree.map(lambda leaf: np.asarray(leaf)[i], lanes) for i in range(len(self.runs))]  # noqa: B023
        return stacked([self._finished(work, lane, i) for i, lane in enumerate(ended)])

    def close(self) -> None:
        return None

    def _finished(self, work: Work, lane: Any, i: int) -> Any:
        own: Any = work_of(work, self.is_batched, i)
        asked = self.calls["last"](own, lane)
        if lane.outcome == Outcome.ERROR:  # it never ran
            asked = asked._replace(kind=np.int32(NOTHING))
        return self.calls["finish"](own, lane, self._answered(own, i, asked))

    def _answered(self, own: Work, i: int, asked: Question) -> Any:
        """What the passes give that a question leads to."""
        while (kind := int(asked.kind)) != NOTHING:
            ask = Ask(Pass(kind), self.runs[i], np.asarray(asked.u))
            parts = self.crew.parts(
                ask, range(self.parts.n_parts), lambda k, ask=ask: self.parts(ask.kind, own, ask.u, k)
            )
            asked = self._after(ask.kind, own, asked, parts)
        return asked.found

    def _after(self, kind: Pass, own: Work, asked: Question, parts: np.ndarray) -> Question:
        name = _name(kind)
        if name not in self.calls:
            with settled():
                lowered = jax.jit(_after(kind)).lower(own, asked, parts)
            self.calls[name] = compile_lowered(lowered)
        return self.calls[name](own, asked, parts)
