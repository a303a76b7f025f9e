"""`lbfgs` against scipy's L-BFGS-B, closed forms and boxes."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize

from campaign.engines.base import Outcome
from campaign.engines.catalogue import LbfgsOptions
from campaign.engines.lbfgs import build
from campaign.problem.base import Problem
from campaign.space import Parameter, ThetaSpace
from campaign.space.priors import Prior
from driving import Gaussian, at_start, equicorrelated
from programs import ended


class Valley(Problem):
    """−ln L is Rosenbrock's function."""

    space: ThetaSpace = eqx.field(static=True)

    def log_likelihood(self, theta):
        return -jnp.sum(100.0 * (theta[1:] - theta[:-1] ** 2) ** 2 + (1.0 - theta[:-1]) ** 2)


def valley(d, start=-1.2, **of_each):
    space = ThetaSpace(tuple(Parameter(name=f"x{i}", initial=start, scale=1.0, **of_each) for i in range(d)))
    return at_start(Valley(space))


@pytest.mark.parametrize("d", [2, 5, 10])
def test_the_minimum_in_no_more_evaluations_than_scipy(d):
    target = valley(d)
    found = ended(build(LbfgsOptions()), target)
    peer = minimize(
        lambda x: np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2),
        np.full(d, -1.2),
        jac=jax.jit(jax.grad(lambda x: -target.log_likelihood(x))),
        method="L-BFGS-B",
        options={"ftol": 1e-15, "gtol": 1e-8, "maxiter": 1000},
    )
    assert found.outcome == Outcome.CONVERGED
    np.testing.assert_allclose(found.result.theta, 1.0, atol=1e-6)
    assert found.n_steps < 1.5 * peer.nfev
    assert float(found.result.loss) < 1e-12


@pytest.mark.parametrize("of_each", [{"upper": 0.5}, {"prior": Prior("uniform", (-2.0, 0.5))}])
def test_a_minimum_on_a_bound_is_found_and_said(of_each):
    """With x0 held at 0.5 the minimum over x1 is 0.25."""
    found = ended(build(LbfgsOptions()), valley(2, **of_each))
    assert found.outcome == Outcome.CONVERGED
    np.testing.assert_allclose(found.result.theta, [0.5, 0.25], atol=1e-8)
    np.testing.assert_array_equal(found.result.at_bound, [1, 0])
    np.testing.assert_allclose(found.result.stderr, [np.nan, np.sqrt(1.0 / 200.0)], rtol=1e-6)


def test_the_posterior_of_a_gaussian_with_its_laplace_errors():
    target, covariance = equicorrelated(3, rho=0.5)
    parameters = tuple(
        Parameter(name=p.name, initial=2.0, scale=0.1, prior=Prior("normal", (1.0, 0.5)))
        for p in target.space.parameters
    )
    problem = Gaussian(ThetaSpace(parameters), target.problem.whiten, jnp.zeros(3))
    precision = np.linalg.inv(covariance) + 4.0 * np.eye(3)
    found = ended(build(LbfgsOptions()), at_start(problem))
    np.testing.assert_allclose(found.result.theta, np.linalg.solve(precision, 4.0 * np.ones(3)), rtol=1e-8)
    np.testing.assert_allclose(found.result.arrays["covariance"], np.linalg.inv(precision), rtol=1e-10)
    likely = ended(build(LbfgsOptions(objective="likelihood")), at_start(problem))
    np.testing.assert_allclose(likely.result.theta, 0.0, atol=1e-8)


def test_units_do_not_matter():
    """The same problem in units of 1e-9 and 1e12 ends at the same place in errors."""
    target, _ = equicorrelated(2, rho=0.9)
    unit = np.array([1e-9, 1e12])
    space = ThetaSpace(tuple(Parameter(name=f"x{i}", initial=float(7 * s), scale=float(s)) for i, s in enumerate(unit)))
    problem = Gaussian(space, target.problem.whiten / unit[None, :], jnp.zeros(2))
    found = ended(build(LbfgsOptions()), at_start(problem))
    assert found.outcome == Outcome.CONVERGED
    np.testing.assert_allclose(found.result.theta / unit, 0.0, atol=1e-6)


class Flat(Problem):
    space: ThetaSpace = eqx.field(static=True)

    def log_likelihood(self, theta):
        return -0.5 * (theta[0] + theta[1] - 1.0) ** 2


def test_a_direction_without_curvature_is_named():
    space = ThetaSpace(tuple(Parameter(name=n, initial=0.2, scale=1.0) for n in "ab"))
    found = ended(build(LbfgsOptions()), at_start(Flat(space)))
    assert found.outcome == Outcome.CONVERGED
    assert np.all(found.result.unidentified)
    assert np.all(np.isnan(found.result.stderr))


def test_a_model_that_fails_beside_the_path_is_walked_around_and_one_at_the_start_is_said():
    class Log(Flat):
        def log_likelihood(self, theta):
            return jnp.log(theta[0]) - theta[0] - (theta[1] - 1.0) ** 2  # NaN below 0; minimum of −ln L at (1, 1)

    space = ThetaSpace(tuple(Parameter(name=n, initial=9.0, scale=1.0) for n in "ab"))
    found = ended(build(LbfgsOptions()), at_start(Log(space)))
    np.testing.assert_allclose(found.result.theta, 1.0, rtol=1e-6)
    negative = ThetaSpace(tuple(Parameter(name=n, initial=-1.0, scale=1.0) for n in "ab"))
    assert ended(build(LbfgsOptions()), at_start(Log(negative))).outcome == Outcome.NONFINITE
