"""A routine in a thread of its own: steps on demand, known ends, errors, and threads that go."""

from __future__ import annotations

import threading

import pytest

from campaign.engines.outcome import Outcome
from campaign.engines.stepwise import Stepwise


def counting(n, log, error=None):
    """A routine of n steps, an evaluation before each."""

    def routine(steps):
        for k in range(n):
            steps.before_evaluation()
            log.append(k)
            steps.record(k)
        if error:
            raise error
        return Outcome.CONVERGED

    return routine


def test_nothing_is_evaluated_that_was_not_asked_for():
    log = []
    run = Stepwise(counting(10, log))
    assert run.until(3) == [0, 1, 2]
    assert log == [0, 1, 2]
    assert (run.n_done, run.outcome) == (3, Outcome.RUNNING)
    assert run.until(5) == [3, 4]
    run.close()
    assert log == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("asked", [[10], [4, 10], [9, 10], [4, 20]])
def test_the_end_is_known_with_the_last_step(asked):
    run = Stepwise(counting(10, []))
    records = [record for n in asked for record in run.until(n)]
    assert records == list(range(10))
    assert run.outcome == Outcome.CONVERGED
    run.close()


def test_an_error_reaches_the_owner():
    run = Stepwise(counting(2, [], error=ZeroDivisionError("here")))
    assert run.until(1) == [0]
    with pytest.raises(ZeroDivisionError, match="here"):
        run.until(5)
    run.close()


def test_a_closed_routine_is_unwound_and_its_thread_has_ended():
    unwound = []

    def routine(steps):
        try:
            while True:
                steps.before_evaluation()
                steps.record(0)
        except Exception:
            unwound.append("as an exception")
        finally:
            unwound.append("finally")

    run = Stepwise(routine)
    run.until(3)
    assert any(t.name == "campaign-host-engine" for t in threading.enumerate())
    run.close()
    assert unwound == ["finally"]
    assert not any(t.name == "campaign-host-engine" for t in threading.enumerate())
    run.close()
    Stepwise(routine).close()  # never begun
