"""A datum that is not a number, through every engine that looks at data."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import campaign
from campaign.problem.base import Problem
from campaign.space import Parameter, ThetaSpace

X = np.linspace(0.0, 1.0, 8)
ENGINES = {
    "trf": {},
    "jacobian": {},
    "scipy-trf": {},
    "scipy-lbfgsb": {},
    "nelder-mead": {},
    "scan": {"grid": {"b": [0.5, 1.5]}},
    "evaluate": {},
    "differential-evolution": {},
}


class Line(Problem):
    space: ThetaSpace = eqx.field(static=True)
    y: jax.Array

    def residuals(self, theta):
        return theta[0] + theta[1] * jnp.asarray(X) - self.y


def line(y):
    bounds = {"lower": -10.0, "upper": 10.0}
    return Line(ThetaSpace(tuple(Parameter(name=n, initial=1.0, **bounds) for n in "ab")), jnp.asarray(y))


@pytest.mark.parametrize("engine", ENGINES)
def test_the_run_fails_and_gives_no_errors(engine):
    """J is finite there, so a covariance could be computed, of nothing."""
    found = campaign.fit(line(np.where(X == 0.0, np.nan, X)), engine, engine_options=ENGINES[engine])
    assert (found.outcome, found.status) == ("nonfinite", "failed")
    assert "loss" in found.nonfinite
    assert np.isnan(list(found.stderr.values())).all()  # none, or not a number


class Unknown(Line):
    absolute_sigma = False


class Short(Line):
    """Of the line's data the first few."""

    n: int = eqx.field(static=True, default=0)

    def residuals(self, theta):
        return super().residuals(theta)[: self.n]


@pytest.mark.parametrize("engine", ["trf", "scipy-trf", "jacobian"])
@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_a_fit_without_degrees_of_freedom_says_so(n, engine):
    """Known errors: two data give two parameters their errors, fewer do not, and χ² tests nothing."""
    problem = line(1.0 + X)
    found = campaign.fit(Short(problem.space, problem.y, n), engine, {"a": 1.0, "b": 1.0})
    assert found.metric["dof"] == n - 2
    if n > 2:
        assert not found.message
        assert found.metric["reduced_chi2"] == 0
        return
    said = f"no degrees of freedom: {n} data for 2 parameters" + (", so not all errors are determined" if n < 2 else "")
    assert found.message == said
    assert np.isnan(found.metric["reduced_chi2"])
    assert np.isnan(found.metric["p_value"])
    named = ["a", "b"][n:]  # the first datum, at x = 0, tells a
    assert found.unidentified == named
    assert [name for name, error in found.stderr.items() if np.isnan(error)] == named


@pytest.mark.parametrize("engine", ["trf", "scipy-trf", "jacobian"])
def test_unknown_errors_need_a_degree_of_freedom(engine):
    class TwoData(Unknown):
        def residuals(self, theta):
            return super().residuals(theta)[:2]

    problem = line(1.0 + X)
    found = campaign.fit(TwoData(problem.space, problem.y), engine)
    assert found.message == "no degrees of freedom: 2 data for 2 parameters, so no error is determined"
    assert np.isnan(list(found.stderr.values())).all()
    assert found.unidentified == ["a", "b"]


@pytest.mark.parametrize("engine", ["trf", "scipy-trf", "jacobian"])
def test_profiled_parameters_count_as_parameters(engine):
    """Eight data, two parameters and two more inside the problem: four degrees of freedom instead of six."""

    class Profiled(Unknown):
        @property
        def n_profiled(self):
            return 2

    problem = line(1.0 + X + 0.1 * np.cos(20 * X))
    plain = campaign.fit(Unknown(problem.space, problem.y), engine)
    found = campaign.fit(Profiled(problem.space, problem.y), engine)
    assert (plain.metric["dof"], found.metric["dof"]) == (6, 4)
    assert found.metric["reduced_chi2"] == pytest.approx(plain.metric["chi2"] / 4, rel=1e-12)
    for name in "ab":
        assert found.stderr[name] == pytest.approx(plain.stderr[name] * np.sqrt(6 / 4), rel=1e-9)


def test_scipys_trf_next_to_a_bound_is_not_on_it():
    """A thousandth of a standard error away: inside, with an error bar."""
    y = np.full(8, 1e-3 / np.sqrt(8.0))

    class Constant(Problem):
        space: ThetaSpace = eqx.field(static=True)

        def residuals(self, theta):
            return theta[0] - y

    found = campaign.fit(Constant(ThetaSpace((Parameter(name="c", initial=1.0, lower=0.0, scale=1.0),))), "scipy-trf")
    assert found.bounds_reached == []
    assert found.stderr["c"] == pytest.approx(1 / np.sqrt(8.0), rel=1e-9)
