"""What every engine on the host promises, as a pytest class: subclass it and give `engine` and `target`."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from campaign.engines.base import Outcome
from campaign.engines.batch import Batch, Work
from campaign.engines.host import HostEngine
from campaign.engines.host_program import HostProgram, host_program, host_shapes
from campaign.engines.loop import Finished, Stopped, run_lanes
from campaign.problem.target import Target
from campaign.testing.engine import assert_same


@dataclass
class RecordingSink:
    """Keeps what the loop hands over.

    Attributes:
        stop_after: chunk before which it asks to stop, having kept the state. None: never.
        late_after: chunks after which the time is up. None: never.
    """

    stop_after: int | None = None
    late_after: int | None = None
    chunks: dict[int, dict[str, np.ndarray]] = field(default_factory=dict)
    kept: tuple[list[np.ndarray], int] | None = None

    def trace(self, chunk: int, fields: dict[str, np.ndarray]) -> None:
        self.chunks[chunk] = {name: np.array(values) for name, values in fields.items()}

    def between(self, next_chunk: int, leaves: Callable[[], Sequence[np.ndarray]]) -> bool:
        if next_chunk != self.stop_after:
            return False
        self.kept = [np.array(leaf) for leaf in leaves()], next_chunk
        return True

    def is_late(self) -> bool:
        return self.late_after is not None and len(self.chunks) >= self.late_after

    def joined(self) -> dict[str, np.ndarray]:
        """The trace over all steps."""
        names = self.chunks[min(self.chunks)]
        return {n: np.concatenate([self.chunks[k][n] for k in sorted(self.chunks)], axis=1) for n in names}


def batch_of(engine: HostEngine, target: Target, starts: np.ndarray, *, words: Sequence[int] | None = None) -> Batch:
    """Runs of one problem from several starts, (runs, d_all); `words` distinguishes their run ids."""
    own = eqx.tree_at(lambda t: t.base, target, jnp.asarray(starts))
    shared = jax.tree.map(lambda _: False, target)
    ids = np.arange(len(starts)) if words is None else np.asarray(words)
    return Batch(
        work=jax.tree.map(jnp.asarray, Work(engine, own)),  # pyright: ignore[reportArgumentType]
        is_batched=Work(
            jax.tree.map(lambda _: False, engine),
            eqx.tree_at(lambda t: t.base, shared, True),
        ),
        words=np.stack([ids, ids + 1, ids + 2, ids + 3], axis=1).astype(np.uint32),
        seed=7,
    )


_programs: dict[type, HostProgram] = {}


class HostEngineContract:
    """The promises of `HostEngine`. The runs need more than three chunks of steps."""

    def engine(self) -> HostEngine:
        raise NotImplementedError

    def target(self) -> Target:
        raise NotImplementedError

    def batch(self, n: int = 3, target: Target | None = None) -> Batch:
        goal = self.target() if target is None else target
        shift = np.zeros((n, len(goal.base)))
        shift[:, list(goal.free)] = np.arange(n)[:, None] * np.asarray(goal.scale)[None, :]
        return batch_of(self.engine(), goal, np.asarray(goal.base) + shift)

    @pytest.fixture
    def program(self) -> HostProgram:
        """Compiled once a class."""
        if type(self) not in _programs:
            _programs[type(self)] = host_program(self.batch())
        return _programs[type(self)]

    def run(self, program: HostProgram, batch: Batch, sink: RecordingSink, resume: Any = None) -> Finished:
        return run_lanes(program, batch, np.ones(len(batch.words), bool), sink, resume)

    def test_runs_go_through_the_loop(self, program):
        batch, sink = self.batch(), RecordingSink()
        finished = self.run(program, batch, sink)
        assert set(finished.outcome.tolist()) == {int(Outcome.CONVERGED)}
        trace = sink.joined()
        for i, n in enumerate(finished.n_steps.tolist()):
            assert np.isfinite(trace["loss"][i, :n]).all()
            assert np.isnan(trace["loss"][i, n:]).all()
            np.testing.assert_array_equal(trace["theta"][i, n - 1], finished.result.theta[i])
            assert trace["loss"][i, 0] == finished.result.loss_initial[i]
            assert trace["loss"][i, n - 1] == finished.result.loss[i] <= trace["loss"][i, 0]
            assert (np.diff(trace["n_evaluations"][i, :n]) >= 0).all()
            assert trace["n_evaluations"][i, n - 1] == finished.result.n_evaluations[i]

    def test_output_has_the_announced_shapes_and_names(self, program):
        batch, sink = self.batch(), RecordingSink()
        finished = self.run(program, batch, sink)
        shapes = host_shapes(batch)
        assert jax.tree.structure(shapes) == jax.tree.structure(program.shapes)
        (first, *_) = sink.chunks.values()
        assert {k: (v.shape, v.dtype) for k, v in first.items()} == {
            k: (v.shape, v.dtype) for k, v in shapes.info.items()
        }
        told = jax.tree.map(lambda x: (x.shape, np.dtype(x.dtype)), shapes.result[0])
        assert jax.tree.map(lambda x: (x.shape, x.dtype), finished.result) == told
        fields = self.engine().fields(self.target())
        for name, value in shapes.info.items():
            assert value.ndim == 2 + len(fields[name].dims), name
        for name, value in finished.result.arrays.items():
            assert value.ndim == 1 + len(fields[name].dims), name

    @pytest.mark.parametrize("stop_after", [1, 2])
    def test_a_run_resumes_bit_for_bit(self, program, stop_after):
        batch, whole = self.batch(), RecordingSink()
        expected = self.run(program, batch, whole)
        first = RecordingSink(stop_after=stop_after)
        with pytest.raises(Stopped):
            self.run(program, batch, first)
        again = RecordingSink()
        assert_same(self.run(program, batch, again, first.kept), expected)
        assert sorted({**first.chunks, **again.chunks}) == sorted(whole.chunks)
        assert_same({**first.chunks, **again.chunks}, whole.chunks)

    def test_the_size_of_a_chunk_changes_nothing(self, program):
        batch, whole = self.batch(), RecordingSink()
        expected = self.run(program, batch, whole)
        engine = replace(self.engine(), chunk_steps=self.engine().chunk_steps + 3)
        other = batch._replace(
            work=batch.work._replace(engine=jax.tree.map(jnp.asarray, engine)),
            is_batched=batch.is_batched._replace(engine=jax.tree.map(lambda _: False, engine)),
        )
        assert_same(self.run(host_program(other), other, RecordingSink()), expected)

    def test_runs_do_not_depend_on_their_neighbours(self, program):
        batch = self.batch()
        together = self.run(program, batch, RecordingSink())
        order = np.array([2, 0, 1])
        moved = batch._replace(
            work=eqx.tree_at(lambda w: w.target.base, batch.work, batch.work.target.base[order]),
            words=batch.words[order],
        )
        assert_same(
            self.run(program, moved, RecordingSink()), jax.tree.map(lambda leaf: np.asarray(leaf)[order], together)
        )

    def test_a_model_that_is_not_a_number_is_an_outcome(self):
        target = self.target()
        arrays, rest = eqx.partition(target.problem, eqx.is_inexact_array)
        broken = eqx.combine(jax.tree.map(lambda x: jnp.full_like(x, jnp.nan), arrays), rest)
        batch = self.batch(target=eqx.tree_at(lambda t: t.problem, target, broken))
        finished = self.run(host_program(batch), batch, RecordingSink())
        assert set(finished.outcome.tolist()) == {int(Outcome.NONFINITE)}
        assert np.isfinite(finished.result.theta).all()

    def test_used_up_steps_are_an_outcome(self):
        engine = replace(self.engine(), max_steps=self.engine().chunk_steps + 1)
        batch = batch_of(engine, self.target(), np.asarray(self.target().base)[None, :])
        finished = self.run(host_program(batch), batch, RecordingSink())
        assert finished.outcome.tolist() == [engine.at_budget()]
        assert finished.n_steps.tolist() == [engine.max_steps]

    def test_runs_out_of_time_end_where_they_are(self, program):
        sink = RecordingSink(late_after=1)
        finished = self.run(program, self.batch(), sink)
        assert set(finished.outcome.tolist()) == {int(Outcome.TIMEOUT)}
        trace = sink.joined()
        for i, n in enumerate(finished.n_steps.tolist()):
            np.testing.assert_array_equal(trace["theta"][i, n - 1], finished.result.theta[i])

    def test_no_thread_outlives_its_block(self, program):
        for sink in (RecordingSink(), RecordingSink(late_after=1), RecordingSink(stop_after=1)):
            with contextlib.suppress(Stopped):
                self.run(program, self.batch(), sink)
            assert not [t for t in threading.enumerate() if t.name == "campaign-host-engine"]
