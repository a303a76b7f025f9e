"""Failures of models outside of JAX: which runs they end, and what their records say."""

from __future__ import annotations

import numpy as np
import pytest

from campaign.problem.foreign.evaluator import Answers, Failure, Outputs
from campaign.problem.foreign.ledger import PADDING, Account, Held
from campaign.problem.foreign.models import foreign_model
from campaign.space import Parameter, ThetaSpace
from campaign.store.lines import Same, records_of
from campaign.work.model_failures import close, failure_metrics, opened, with_details, with_failures


class Model:
    """An evaluator that is never asked."""

    def evaluate(self, theta):
        return Answers.of([])

    def jacobian(self, theta):
        return None

    def start(self):
        self.n_started = getattr(self, "n_started", 0) + 1


LATE = Failure(outcome="timeout", message="it took longer than 3 s", details={"stderr": "…"})
BROKEN = Failure(outcome="error", message="exit code 3")


def account(failure=None, n=0, ends=True):
    return Account(Held(Model(), ends_run=ends), n_failures=n, failure=failure)


GOOD = [account()]
ENDED = [account(LATE, 1)]
REJECTED = [account(BROKEN, 5, ends=False)]
TWO = [account(BROKEN, 2, ends=False), account(LATE, 1)]


def columns(*outcomes):
    outcome = list(outcomes) if len(set(outcomes)) > 1 else Same(outcomes[0])
    return {"status": Same("ok"), "outcome": outcome, "message": Same(None), "theta": {"a": np.arange(len(outcomes))}}


def told(accounts, *outcomes):
    found = with_failures(columns(*outcomes), accounts)
    return [(r["status"], r["outcome"], r["message"]) for r in records_of(found, len(outcomes))]


def test_a_run_that_its_model_ended_has_failed_however_it_looks():
    ok = ("ok", "converged", None)
    late = ("failed", "timeout", "it took longer than 3 s")
    assert told([GOOD, ENDED, GOOD], "converged", "converged", "converged") == [ok, late, ok]


@pytest.mark.parametrize("outcome", ["converged", "budget", "stalled"])
def test_a_model_whose_failures_are_rejected_is_not_at_fault_where_the_run_has_a_result(outcome):
    assert told([REJECTED], outcome) == [("ok", outcome, None)]


def test_without_a_result_the_model_is_at_fault():
    assert told([REJECTED, GOOD], "nonfinite", "nonfinite") == [
        ("failed", "error", "exit code 3"),
        ("ok", "nonfinite", None),  # as it was: the model did not fail
    ]


def test_the_model_that_ended_the_run_is_named_before_one_that_was_rejected():
    assert told([TWO], "nonfinite")[0][1:] == ("timeout", "it took longer than 3 s")


def test_columns_without_failures_are_given_back_as_they_are():
    own = columns("converged", "budget")
    assert with_failures(own, [GOOD, GOOD]) is own
    assert with_failures(own, None) is own


def test_failed_evaluations_are_counted_over_the_models_of_a_run():
    assert failure_metrics(None) == {}
    assert failure_metrics([GOOD, TWO, REJECTED])["model_failures"].tolist() == [0.0, 3.0, 5.0]


def test_details_go_with_the_runs_that_have_them():
    rows = np.array([7, 8, 9])
    parts = list(with_details(rows, columns("converged", "budget", "stalled"), [REJECTED, GOOD, ENDED]))
    assert [part.tolist() for part, _ in parts] == [[8], [7, 9]]
    rest, failed = (records_of(own, len(part)) for part, own in parts)
    assert "failure" not in rest[0]
    assert [record["outcome"] for record in failed] == ["converged", "stalled"]
    assert [record["theta"]["a"] for record in failed] == [0, 2]
    assert [record["failure"] for record in failed] == [
        {"message": "exit code 3"},
        {"message": "it took longer than 3 s", "stderr": "…"},
    ]
    assert [part.tolist() for part, _ in with_details(rows[:1], columns("converged"), [ENDED])] == [[7]]
    for nothing in (None, [GOOD] * 3):
        ((all_, own),) = with_details(rows, columns("converged", "budget", "stalled"), nothing)
        assert all_ is rows
        assert "failure" not in own


SPACE = ThetaSpace((Parameter(name="a", initial=0.0), Parameter(name="b", initial=0.0)))


def test_each_run_of_a_block_has_a_number_and_padding_has_none():
    model = Model()
    problem = foreign_model(model, SPACE, Outputs.of({"y": ()}))
    own, is_batched = opened(problem, problem, 2, 4, ("b",))
    assert model.n_started == 1
    numbers = np.asarray(own.run)
    assert numbers[2:].tolist() == [PADDING] * 2
    assert len(set(numbers[:2].tolist())) == 2
    assert (numbers[:2] > 0).all()
    assert own.moves.tolist() == [False, True]
    assert is_batched.run is True
    accounts = close(own, 2)
    assert accounts is not None
    assert [len(each) for each in accounts] == [1, 1]
    assert accounts[0][0].held is problem.held


def test_a_problem_inside_of_jax_has_no_accounts():
    assert close({"y": np.ones(3)}, 2) is None
