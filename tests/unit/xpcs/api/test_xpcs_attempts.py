"""Attempts with injected faults: how many, their names, what the result says; nothing hides a failure."""

from dataclasses import replace

import numpy as np
import pytest

from campaign.science import Fit, InvalidValue
from campaign_xpcs.api.attempts import attempted, default_ladder, document_ladder

GOOD = Fit(
    run_id="0",
    theta={"x": 1.0},
    stderr={"x": 0.1},
    loss=3.0,
    loss_initial=9.0,
    outcome="converged",
    message=None,
    status="ok",
    n_steps=3,
    n_evaluations=3,
    metric={"chi2": 6.0},
    derived={},
    bounds_reached=[],
    unidentified=[],
    nonfinite=[],
    trace={},
    arrays={"covariance": np.eye(1)},
)
BROKEN = replace(GOOD, outcome="nonfinite", loss=float("nan"), status="failed", message="the model gave NaN")
STALLED = replace(GOOD, outcome="stalled", loss=5.0, theta={"x": 7.0})
FLOORED = replace(GOOD, outcome="degenerate", loss=1.0, theta={"x": -1.0})
BOUNDS = {"x": (1.0, 4.0), "y": (2.0, 8.0)}


def script(*outcomes):
    """A run that answers with these in turn, and what it was called with."""
    calls = []

    def run(start, options):
        calls.append((dict(start), dict(options)))
        found = outcomes[len(calls) - 1]
        if isinstance(found, Exception):
            raise found
        return found

    return run, calls


def starts():
    return [{"x": 3.3}]


def tried(run, ladder, most=3):
    return attempted(run, {"x": 0.0}, ladder, most)


def test_a_success_is_not_tried_again():
    run, calls = script(GOOD)
    made = tried(run, default_ladder(starts))
    assert len(calls) == 1
    assert made.actions == []
    assert made.best_outcome == "converged"


@pytest.mark.parametrize(
    "fault", [BROKEN, FloatingPointError("divide"), MemoryError("out"), RuntimeError("XLA"), STALLED, FLOORED]
)
def test_the_default_ladder(fault):
    run, calls = script(fault, fault, GOOD)
    made = tried(run, default_ladder(starts))
    assert made.actions == ["damped_restart", "multistart"]
    assert calls[1][1] == {"damping": 1.0}
    assert calls[2][0] == {"x": 3.3}
    assert made.best_outcome == "converged"
    assert made.best.theta == {"x": 1.0}


def test_a_damped_restart_goes_on_from_the_best_place():
    run, calls = script(STALLED, GOOD)
    tried(run, default_ladder(starts))
    assert calls[1][0] == {"x": 7.0}


@pytest.mark.parametrize(("most", "n"), [(1, 1), (2, 2), (3, 3), (9, 3)])
def test_there_are_at_most_so_many_attempts(most, n):
    run, calls = script(*[BROKEN] * 9)
    made = tried(run, default_ladder(starts), most)
    assert len(calls) == len(made.history) == n
    assert made.best is None
    assert made.best_outcome == "error"


def test_the_ladder_of_the_document():
    run, calls = script(BROKEN, BROKEN, GOOD)
    made = tried(run, document_ladder(BOUNDS))
    assert made.actions == ["bounds_reset", "geometric_mean_reset"]
    assert calls[1][0] == {"x": 2.5, "y": 5.0}
    assert calls[2][0] == {"x": 2.0, "y": 4.0}


def test_there_is_no_geometric_mean_of_bounds_that_are_not_above_zero():
    run, calls = script(*[BROKEN] * 3)
    made = tried(run, document_ladder({"x": (1.0, 4.0), "alpha": (-2.0, 2.0)}))
    assert len(calls) == 2
    assert made.actions == ["bounds_reset", "geometric_mean_reset refused: no bounds above 0: alpha"]


def test_a_mistake_of_the_caller_is_raised_at_once():
    run, calls = script(InvalidValue("`x` is 9"), GOOD)
    with pytest.raises(InvalidValue, match="`x` is 9"):
        tried(run, default_ladder(starts))
    assert len(calls) == 1


def test_a_mistake_of_ours_is_no_failed_fit():
    run, _ = script(TypeError("a bug"))
    with pytest.raises(TypeError, match="a bug"):
        tried(run, default_ladder(starts))


def test_nothing_hides_a_failure():
    """0.14: an executor that hides a failure. The text of each exception stays in the history."""
    run, _ = script(RuntimeError("first"), MemoryError("second"), RuntimeError("third"))
    made = tried(run, default_ladder(starts))
    assert [one.outcome for one in made.history] == ["error"] * 3
    assert [one.message for one in made.history] == [
        "RuntimeError: first",
        "MemoryError: second",
        "RuntimeError: third",
    ]
    assert made.best is None


def test_a_later_failure_does_not_take_a_success_away_and_none_becomes_one():
    """0.14: success overwritten."""
    run, _ = script(FLOORED, BROKEN, BROKEN)
    made = tried(run, default_ladder(starts))
    assert made.best_outcome == "degenerate"
    run, _ = script(STALLED, FLOORED, BROKEN)
    assert tried(run, default_ladder(starts)).best_outcome in ("degenerate", "stalled")


def test_a_floored_fit_is_worse_than_any_other_however_low_its_loss():
    run, _ = script(FLOORED, GOOD)
    made = tried(run, default_ladder(starts))
    assert made.actions == ["damped_restart"]
    assert made.best_outcome == "converged"
    assert made.best.theta == {"x": 1.0}
