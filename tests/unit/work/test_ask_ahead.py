"""Models outside of JAX that are evaluated once a run: all runs of a block in one call."""

from __future__ import annotations

import numpy as np
import pytest

from campaign.fitting import fits
from campaign.problem.foreign.server import ModelServer
from campaign.problem.python import PythonModel
from campaign.space import Parameter

A = Parameter(name="a", initial=1.0)
STARTS = [{"a": float(a)} for a in range(5)]


@pytest.fixture
def asked(monkeypatch):
    """Rows of each call of a model server."""
    rows: list[int] = []
    own = ModelServer.evaluate

    def counting(self, evaluator, theta):
        rows.append(len(theta))
        return own(self, evaluator, theta)

    monkeypatch.setattr(ModelServer, "evaluate", counting)
    return rows


def test_an_evaluation_of_many_runs_is_one_call(asked):
    found = fits(PythonModel(lambda p: [p["a"], 2 * p["a"]], [A], outputs={"y": 2}), "evaluate", STARTS)
    assert asked == [5]
    assert [one.arrays["y"].tolist() for one in found] == [[a, 2.0 * a] for a in range(5)]


def test_a_run_whose_model_fails_there_fails_alone(asked):
    def model(p):
        if p["a"] == 2.0:
            raise ValueError("two is bad")
        return [p["a"]]

    found = fits(PythonModel(model, [A], outputs={"y": 1}), "evaluate", STARTS)
    assert [one.status for one in found] == ["ok", "ok", "failed", "ok", "ok"]
    assert "two is bad" in (found[2].message or "")
    assert asked == [5, 2]  # what is left goes on behind the one that failed


def test_what_does_not_fit_into_memory_is_asked_for_one_by_one(asked, monkeypatch):
    from campaign.problem.foreign import ledger

    monkeypatch.setattr(ledger, "MEMORY", 100)
    found = fits(PythonModel(lambda p: np.full(4, p["a"]), [A], outputs={"y": 4}), "evaluate", STARTS)
    assert [one.arrays["y"][0] for one in found] == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert asked == [1] * 5


def test_an_engine_that_goes_on_from_the_start_asks_for_itself(asked):
    fits(PythonModel(lambda p: [p["a"] - 3.0], [A], gives="residuals", outputs={"r": 1}), "trf", STARTS)
    assert asked[0] == 3
