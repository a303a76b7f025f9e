"""The evaluator of Python functions, and how failures stay with their run."""

import os
import sys
import time

import jax.numpy as jnp
import numpy as np
import pytest

from campaign.errors import InvalidValue
from campaign.problem.foreign import ledger
from campaign.problem.foreign.models import FittedModel, LikelihoodModel, PredictionModel
from campaign.problem.foreign.server import server
from campaign.problem.python import PythonModel
from campaign.space import Parameter

A = Parameter(name="a", initial=1.0)
B = Parameter(name="b", initial=2.0, lower=0.0)


def called(problem, theta, runs):
    theta = np.asarray(theta, float)
    return ledger.values(theta, np.broadcast_to(problem.handle, len(theta)), runs, problem.outputs.size)


def opened(problem, n):
    return ledger.open_runs([int(problem.handle)] * n)


def line(p):
    return [p["a"] + p["b"] * t for t in range(4)]


def test_values_and_residuals_are_those_of_the_function():
    problem = PythonModel(line, [A, B], data=[1.0, 2.0, 3.0, 4.0], sigma=0.5)
    assert isinstance(problem, FittedModel)
    np.testing.assert_array_equal(problem.residuals(jnp.array([1.0, 2.0])), [0.0, 2.0, 4.0, 6.0])
    np.testing.assert_array_equal(problem.predict(jnp.array([1.0, 2.0]))["model"], [1.0, 3.0, 5.0, 7.0])


def test_outputs_by_name_are_found_by_asking_once():
    problem = PythonModel(lambda p: {"curve": np.ones((2, 3)) * p["a"], "area": p["b"]}, [A, B])
    assert isinstance(problem, PredictionModel)
    theta = jnp.array([4.0, 5.0])
    assert problem.predict(theta)["curve"].shape == (2, 3)
    assert problem.derived(theta) == {"area": 5.0}


def test_a_log_likelihood_is_taken_as_it_is():
    problem = PythonModel(lambda p: -((p["a"] - 3.0) ** 2), [A], gives="log_likelihood")
    assert isinstance(problem, LikelihoodModel)
    assert problem.log_likelihood(jnp.array([1.0])) == -4.0


def test_a_failure_ends_its_run_and_no_other():
    def model(p):
        if p["a"] > 10:
            raise ValueError("too big")
        return p["a"]

    problem = PythonModel(model, [A], data=0.0)
    one, two = opened(problem, 2)
    found = called(problem, [[1.0], [11.0], [2.0], [3.0]], np.array([one, one, one, two]))
    np.testing.assert_array_equal(found[:, 0], [1.0, np.nan, np.nan, 3.0])
    first, second = ledger.close_runs([one, two])
    assert first.n_failures == 1
    assert first.failure.outcome == "error"
    assert first.failure.message.startswith("ValueError: too big (test_python.py line ")
    assert "in model" in first.failure.message
    assert second.failure is None


def test_rejected_places_are_counted_and_the_run_goes_on():
    def model(p):
        if p["a"] < 0:
            sys.exit("below zero")
        return p["a"]

    problem = PythonModel(model, [A], data=0.0, failures="reject")
    (run,) = opened(problem, 1)
    found = called(problem, [[-1.0], [2.0], [-3.0]], np.full(3, run))
    np.testing.assert_array_equal(found[:, 0], [np.nan, 2.0, np.nan])
    (account,) = ledger.close_runs([run])
    assert (account.n_failures, account.has_ended) == (2, False)
    assert account.failure.message.startswith("SystemExit: below zero")


def test_a_row_that_breaks_a_batch_is_found():
    def model(theta):
        if (theta[:, 0] > 10).any():
            raise RuntimeError("one is too big")
        return theta[:, 0] * 2

    problem = PythonModel(model, [A], call="array", batched=True, data=0.0)
    runs = opened(problem, 3)
    np.testing.assert_array_equal(called(problem, [[1.0], [11.0], [2.0]], runs)[:, 0], [2.0, np.nan, 4.0])
    assert [one.n_failures for one in ledger.close_runs(runs)] == [0, 1, 0]


@pytest.mark.parametrize("death", ["hang", "exit", "crash", "print"])
def test_a_model_that_hangs_or_dies_is_replaced(death):
    def model(p):
        if p["a"] > 10:
            print("my last words")
            if death == "hang":
                time.sleep(1e6)
            if death == "exit":
                os._exit(7)
            if death == "crash":
                os.kill(os.getpid(), 11)
            while True:
                print("x" * 1000)
        return p["a"]

    problem = PythonModel(model, [A], data=0.0, timeout_s=3.0)
    runs = opened(problem, 3)
    np.testing.assert_array_equal(called(problem, [[1.0], [11.0], [2.0]], runs)[:, 0], [1.0, np.nan, 2.0])
    failure = ledger.close_runs(runs)[1].failure
    assert failure.outcome == ("timeout" if death in ("hang", "print") else "error")
    expected = {
        "hang": "the model took longer than timeout_s = 3 s (test_python.py line ",
        "print": "the model took longer than timeout_s = 3 s",
        "exit": "the model's process ended with exit status 7",
        "crash": "the model's process was ended by SIGSEGV (test_python.py line ",
    }[death]
    assert failure.message.startswith(expected)
    if death != "print":
        assert failure.details["stdout"] == "my last words\n"
    assert len(failure.details["stdout"]) <= 4096


def test_the_same_place_is_not_computed_twice():
    problem = PythonModel(lambda p: [time.perf_counter()], [A], data=[0.0])
    (run,) = opened(problem, 1)
    first = called(problem, [[1.0]], np.array([run]))
    assert called(problem, [[1.0]], np.array([run])) == first
    assert called(problem, [[2.0]], np.array([run])) > first
    ledger.close_runs([run])


def test_padding_is_never_evaluated():
    problem = PythonModel(lambda p: [p["a"]], [A], data=[0.0])
    assert np.isnan(called(problem, [[1.0]], np.array([ledger.PADDING]))).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"data": [1.0, np.nan]}, "the data hold nan at index 1"),
        ({"data": [1.0, 2.0], "sigma": [0.1, 0.0]}, "`sigma` is 0.0 at index 1"),
        ({"data": [1.0, 2.0], "sigma": [0.1]}, "`sigma` has shape (1,)"),
        ({"sigma": 1.0, "outputs": {"model": 2}}, "`sigma` without `data`"),
        ({"data": [1.0], "gives": "residuals"}, "data beside `gives='residuals'`"),
        ({"data": [1.0], "call": "list"}, "`call` is 'list'"),
        ({"data": [1.0], "failures": "ignore"}, "`failures` is 'ignore'"),
    ],
)
def test_what_does_not_belong_together_is_said(options, message):
    with pytest.raises(InvalidValue) as caught:
        PythonModel(line, [A, B], **options)
    assert caught.value.message == message


def test_a_model_that_fails_when_it_is_asked_for_its_shapes_says_so():
    with pytest.raises(InvalidValue, match="fails at the initial parameters: ZeroDivisionError"):
        PythonModel(lambda p: 1 / (p["a"] - 1.0), [A])


def test_the_child_ends_with_its_worker():
    PythonModel(lambda p: p["a"], [A])
    child = server()._child
    server().close()
    assert child.status() == -9


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (lambda p: [p["a"] * (1 + 1j)] * 2, "complex128"),
        (lambda p: [str(p["a"])] * 2, "real numbers"),
        (lambda p: np.array([p["a"], p["b"]]) > 1.5, "bool"),
        (lambda p: np.array([p["a"], p["b"]], np.float32), "float32"),
        (lambda p: np.ma.masked_greater(np.array([p["a"], p["b"]]), 1.5), "1 masked values"),
        (lambda p: np.array([p["a"], None]), "missing"),
        (lambda p: np.array([p["a"], "2"], object), "not real numbers"),
    ],
    ids=["complex", "text", "truth", "float32", "masked", "none", "objects"],
)
def test_what_float64_would_change_without_a_word_is_a_failure(model, reason):
    problem = PythonModel(model, [A, B], data=[1.0, 2.0])
    runs = opened(problem, 1)
    assert np.isnan(called(problem, [[1.0, 2.0]], runs)).all()
    (account,) = ledger.close_runs(runs)
    assert reason in account.failure.message


def test_the_model_cannot_change_x_for_its_next_call():
    def model(x, p):
        x *= 2
        return p["a"] * x

    problem = PythonModel(model, [A], x=np.arange(3.0), data=np.zeros(3))
    runs = opened(problem, 1)
    called(problem, [[1.0]], runs)
    (account,) = ledger.close_runs(runs)
    assert "read-only" in account.failure.message


def derivatives(problem, theta):
    """Slopes by differences and the account of their run."""
    d = len(theta)
    runs = opened(problem, 1)
    box = np.ones(d), np.full(d, -np.inf), np.full(d, np.inf)
    handle = np.array([int(problem.handle)])
    size = problem.outputs.size
    _, slopes = ledger.linearised(np.array([theta]), handle, runs, np.ones((1, d), bool), box, size)
    return slopes[0], ledger.close_runs(runs)[0]


def test_differences_of_a_model_with_random_numbers_are_no_derivatives():
    rng = np.random.default_rng(1)
    noisy = PythonModel(lambda p: [p["a"] + 1e-6 * rng.standard_normal(), 1.0], [A, B], data=[1.0, 2.0])
    slopes, account = derivatives(noisy, [1.0, 2.0])
    assert np.isnan(slopes).all()
    assert "called again with the same parameters" in account.failure.message
    steady, account = derivatives(PythonModel(lambda p: [p["a"] ** 2, 1.0], [A, B], data=[1.0, 2.0]), [1.0, 2.0])
    assert account.failure is None
    np.testing.assert_allclose(steady, [[2.0, 0.0], [0.0, 0.0]], rtol=1e-9)


def test_what_a_model_prints_is_passed_on(capsys):
    def model(p):
        print("looked at", p["a"])
        return p["a"]

    problem = PythonModel(model, [A], data=0.0)
    runs = opened(problem, 1)
    called(problem, [[1.0], [2.0]], np.repeat(runs, 2))
    ledger.close_runs(runs)
    assert "looked at 1.0" in capsys.readouterr().out
