"""The loop: chunks in order, each run to its own end, stopping and going on, late runs, steps that were done before."""

from __future__ import annotations

from dataclasses import fields
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from campaign.engines.base import AbstractEngine, Outcome, Result
from campaign.engines.batch import Batch, Lanes, Work
from campaign.engines.compiled import Compiled, compile_program
from campaign.engines.loop import Continued, Stopped, are_spent, run_lanes
from campaign.space import Parameter, ThetaSpace
from driving import Gaussian, Notes, at_start

STARTS = np.array([1.0, 2.0, 64.0])
STEPS, CHUNK = 5, 2
ALL = np.ones(3, bool)


class State(NamedTuple):
    u: jax.Array


class Halving(AbstractEngine):
    """Half of u with each step, until it is at most 1/4."""

    max_steps: int = eqx.field(static=True, default=STEPS)
    chunk_steps: int = eqx.field(static=True, default=CHUNK)

    def init(self, target, key):
        return State(target.start()[0])

    def step(self, target, state):
        new = State(state.u / 2)
        return new, {"loss": new.u}

    def outcome(self, state):
        return jnp.where(state.u <= 0.25, Outcome.CONVERGED, Outcome.RUNNING)

    def finish(self, target, state):
        return Result.of(state.u[None], state.u)


@pytest.fixture(scope="module")
def batch() -> Batch:
    space = ThetaSpace((Parameter(name="x", initial=1.0, scale=1.0),))
    work = Work(Halving(), at_start(Gaussian(space, jnp.eye(1), jnp.zeros(1))))
    shared = jax.tree.map(lambda _: False, work)
    is_batched = shared._replace(target=eqx.tree_at(lambda t: t.base, shared.target, True))
    own = work._replace(target=eqx.tree_at(lambda t: t.base, work.target, STARTS[:, None]))
    return Batch(jax.tree.map(np.asarray, own), is_batched, np.zeros((3, 4), np.uint32), 0)


@pytest.fixture(scope="module")
def program(batch) -> Compiled:
    return compile_program(batch, lanes=1)


def losses(notes: Notes) -> np.ndarray:
    return np.concatenate([chunk["loss"] for _, chunk in notes.chunks], axis=1)


def expected(start: float, n: int) -> list[float]:
    """Closed form of the trace: start / 2^k, and NaN for steps that were not reached."""
    return [start / 2 ** (k + 1) if k < n else np.nan for k in range(3 * CHUNK)]


def test_each_run_goes_to_its_own_end_in_chunks(program, batch):
    notes = Notes()
    found = run_lanes(program, batch, ALL, notes)
    assert found.n_steps.tolist() == [2, 3, STEPS]
    assert found.outcome.tolist() == [Outcome.CONVERGED, Outcome.CONVERGED, Outcome.BUDGET]
    assert [number for number, _ in notes.chunks] == [0, 1, 2]
    np.testing.assert_array_equal(losses(notes), [expected(s, n) for s, n in zip(STARTS, (2, 3, 5), strict=True)])
    np.testing.assert_array_equal(found.result.loss, [0.25, 0.25, 2.0])
    assert are_spent(batch, found.lanes).tolist() == [False, False, True]


def test_a_lane_that_is_not_valid_does_nothing(program, batch):
    notes = Notes()
    found = run_lanes(program, batch, np.array([True, False, True]), notes)
    assert found.n_steps.tolist() == [2, 0, STEPS]
    assert found.outcome[1] == Outcome.ERROR
    assert np.isnan(losses(notes)[1]).all()


@pytest.mark.parametrize("at", [1, 2])
def test_a_run_that_was_stopped_goes_on_with_the_same_chunks(program, batch, at):
    whole, before, after = Notes(), Notes(stop_at=at), Notes()
    found = run_lanes(program, batch, ALL, whole)
    with pytest.raises(Stopped):
        run_lanes(program, batch, ALL, before)
    assert [number for number, _ in before.chunks] == list(range(at))
    again = run_lanes(program, batch, ALL, after, (before.leaves, at))
    assert [number for number, _ in before.chunks + after.chunks] == [0, 1, 2]
    np.testing.assert_array_equal(losses(Notes(chunks=before.chunks + after.chunks)), losses(whole))
    for one, other in ((again.n_steps, found.n_steps), (again.outcome, found.outcome)):
        np.testing.assert_array_equal(one, other)


def test_runs_that_are_late_end_where_they_stand(program, batch):
    found = run_lanes(program, batch, ALL, Notes(late=True))
    assert found.n_steps.tolist() == [CHUNK] * 3
    assert found.outcome.tolist() == [Outcome.CONVERGED, Outcome.TIMEOUT, Outcome.TIMEOUT]
    np.testing.assert_array_equal(found.result.loss, STARTS / 4)


def test_steps_that_were_done_before_are_handed_over_again(program, batch):
    """The third run has done 3 of 5 steps: one chunk, and half of the next."""
    whole, notes = Notes(), Notes()
    run_lanes(program, batch, ALL, whole)
    running = np.array([Outcome.CONVERGED, Outcome.CONVERGED, Outcome.RUNNING], np.int32)
    earlier = Lanes(State(np.array([0.25, 0.25, 8.0])), np.array([2, 3, 3], np.int32), running)
    known = [chunk for _, chunk in whole.chunks]
    known[1] = {"loss": np.where(np.arange(CHUNK) < 1, known[1]["loss"], np.nan)}  # the second step is not done yet
    found = run_lanes(program, batch, ALL, notes, None, Continued(jax.tree.leaves(earlier), known.__getitem__))
    assert found.n_steps.tolist() == [2, 3, STEPS]
    assert [number for number, _ in notes.chunks] == [0, 1, 2]
    np.testing.assert_array_equal(losses(notes), losses(whole))


def test_leaves_of_another_shape_are_no_continuation(program, batch):
    notes = Notes()
    other = Continued([np.zeros(2), np.zeros(2, np.int32), np.zeros(2, np.int32)], {}.__getitem__)
    assert run_lanes(program, batch, ALL, notes, None, other).n_steps.tolist() == [2, 3, STEPS]


class Failing(Notes):
    def trace(self, chunk, fields):
        raise OSError("the disk is full")


def test_a_program_is_closed_when_the_sink_fails(program, batch):
    closed = []

    class Closing(Compiled):
        def close(self):
            closed.append(True)

    with pytest.raises(OSError, match="disk"):
        run_lanes(Closing(**{f.name: getattr(program, f.name) for f in fields(program)}), batch, ALL, Failing())
    assert closed == [True]
