"""`varpro` against scipy.optimize.least_squares over all parameters, against `trf`, and against NIST."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import least_squares

from campaign.engines.base import Outcome
from campaign.engines.trf import Trf
from campaign.engines.varpro import Varpro
from campaign.errors import InvalidValue
from campaign.problem.base import Problem
from campaign.problem.reference import nist
from campaign.problem.reference.catalogue import NistOptions
from campaign.problem.reference.nist_data import read_nist
from campaign.space import ThetaSpace
from driving import at_start
from programs import compiled, whole_run
from separable import Curves, made

TRUTH = [0.7, 2.5]
START = [0.3, 1.5]


@compiled
def run(engine, goal):
    state, n = whole_run(engine, goal)
    return engine.finish(goal, state), engine.outcome(state), n


def fit(problem, engine=None, free=None, **options):
    goal = eqx.tree_at(lambda t: t.base, at_start(problem), jnp.asarray(problem.space.initial))
    if free is not None:
        where = np.array([problem.space.index(name) for name in free])
        goal = eqx.tree_at(lambda t: t.scale, goal, goal.scale[where])
        goal = type(goal)(goal.problem, goal.base, goal.scale, tuple(free))
    result, outcome, n = run(Varpro(trf=Trf(**options)) if engine is None else engine, goal)
    return jax.tree.map(np.asarray, result), int(outcome), int(n)


def by_scipy(problem, loss="linear", f_scale=1.0, start=None):
    residuals = compiled(lambda p: problem.residuals(p))
    jacobian = compiled(lambda p: jax.jacfwd(problem.residuals)(p))
    found = problem.space.initial if start is None else start
    for _ in range(3):
        answer = least_squares(
            lambda p: np.asarray(residuals(jnp.asarray(p))),
            np.clip(found, problem.space.lower, problem.space.upper),
            jac=lambda p: np.asarray(jacobian(jnp.asarray(p))),  # pyright: ignore[reportArgumentType]
            bounds=(problem.space.lower, problem.space.upper),
            x_scale="jac",
            ftol=1e-15,
            xtol=1e-15,
            gtol=1e-15,
            loss=loss,
            f_scale=f_scale,
        )
        found = answer.x
    return answer


def assert_same(result, answer, kept=slice(None), covariance=1e-6):
    """Loss, parameters and covariance in units of the standard errors."""
    expected = np.linalg.inv(answer.jac[:, kept].T @ answer.jac[:, kept])
    stderr = np.sqrt(np.diag(expected))
    np.testing.assert_allclose(result.loss, answer.cost, rtol=1e-11)
    np.testing.assert_allclose((result.theta - answer.x)[kept] / stderr, 0.0, atol=2e-5)
    mine = result.arrays["covariance"][kept][:, kept]
    np.testing.assert_allclose(
        mine / stderr[:, None] / stderr[None, :], expected / np.outer(stderr, stderr), atol=covariance
    )
    np.testing.assert_allclose(result.stderr[kept], stderr, rtol=covariance)


def test_many_groups_are_the_fit_of_all_parameters():
    amplitudes = np.random.default_rng(0).uniform(0.5, 2.0, (23, 3))
    problem = made(TRUTH, amplitudes, start=START)
    result, outcome, steps = fit(problem)
    assert outcome == Outcome.CONVERGED
    assert steps <= 10
    answer = by_scipy(problem, start=result.theta * 1.001)
    assert_same(result, answer)
    np.testing.assert_allclose(result.metrics["chi2"], 2.0 * answer.cost, rtol=1e-12)
    assert result.metrics["n_free"] == 2 + 23 * 3
    normal = answer.jac.T @ answer.jac
    edge, whole, inner = normal[:2, 2:], normal[:2, :2], normal[2:, 2:]
    left = whole - edge @ np.linalg.solve(inner, edge.T)
    root = np.linalg.inv(np.linalg.cholesky(whole))
    expected = np.linalg.eigvalsh(root @ left @ root.T).min()
    np.testing.assert_allclose(result.metrics["information_left"], expected, rtol=1e-5)


def test_where_linear_parameters_start_changes_nothing():
    amplitudes = np.random.default_rng(1).uniform(0.5, 2.0, (4, 3))
    found = [fit(made(TRUTH, amplitudes, start=START, start_of_linear=s))[0] for s in (0.0, 1e3)]
    np.testing.assert_allclose(found[1].theta, found[0].theta, rtol=1e-8)
    np.testing.assert_allclose(found[1].loss, found[0].loss, rtol=1e-13)


def test_bounds_hold_some_linear_parameters():
    amplitudes = np.random.default_rng(2).uniform(0.5, 2.0, (8, 3))
    lower, upper = np.full((8, 3), -0.5), np.full((8, 3), 2.5)
    upper[1, 0], lower[2, 1], upper[4], lower[4] = 0.4, 2.2, [0.6, 0.7, 2.0], [0.5, -0.2, 1.9]
    problem = made(TRUTH, amplitudes, start=START, lower=lower, upper=upper)
    result, outcome, _ = fit(problem)
    assert outcome == Outcome.CONVERGED
    answer = by_scipy(problem, start=np.clip(result.theta, *_inside(problem)))
    assert answer.cost >= result.loss * (1 - 1e-9)
    np.testing.assert_allclose(result.loss, answer.cost, rtol=1e-7)  # scipy stays inside
    held = result.at_bound != 0
    assert held.sum() >= 4
    np.testing.assert_array_equal(np.isnan(result.stderr), held)
    jacobian = np.asarray(jax.jacfwd(problem.residuals)(jnp.asarray(result.theta)))
    residuals = np.asarray(problem.residuals(jnp.asarray(result.theta)))
    slope = jacobian.T @ residuals / np.linalg.norm(jacobian, axis=0)
    assert np.abs(slope[~held]).max() < 1e-4  # standard errors: the conditions of Karush, Kuhn and Tucker
    assert np.all(slope[held] * result.at_bound[held] < 0)
    kept = jacobian[:, ~held]
    expected = np.linalg.inv(kept.T @ kept)
    np.testing.assert_allclose(result.stderr[~held], np.sqrt(np.diag(expected)), rtol=1e-6)


def _inside(problem):
    width = problem.space.upper - problem.space.lower
    small = np.where(np.isfinite(width), 1e-9 * width, 0.0)
    return problem.space.lower + small, problem.space.upper - small


@pytest.mark.parametrize(
    "loss", ["cauchy", *(pytest.param(loss, marks=pytest.mark.long) for loss in ("soft_l1", "huber"))]
)
def test_robust_losses(loss):
    amplitudes = np.random.default_rng(3).uniform(0.5, 2.0, (5, 3))
    problem = made(TRUTH, amplitudes, start=START, outliers=5)
    result, outcome, _ = fit(problem, loss=loss, f_scale=1.5)
    assert outcome == Outcome.CONVERGED
    answer = by_scipy(problem, loss, 1.5, start=result.theta * 1.001)
    assert_same(result, answer)
    np.testing.assert_allclose(result.metrics["chi2"], answer.fun @ answer.fun, rtol=1e-6)


def test_unknown_errors_come_from_the_scatter():
    problem = made(TRUTH, np.random.default_rng(4).uniform(0.5, 2.0, (3, 3)), start=START, absolute=False)
    result, outcome, _ = fit(problem)
    assert outcome == Outcome.CONVERGED
    answer = by_scipy(problem, start=result.theta * 1.001)
    expected = np.linalg.inv(answer.jac.T @ answer.jac) * 2 * answer.cost / (3 * 60 - 11)
    np.testing.assert_allclose(result.arrays["covariance"], expected, rtol=1e-5, atol=1e-12)


class Twice(Curves):
    """Both exponentials have the first rate: their amplitudes cannot be told apart, and the second rate is nothing."""

    def model(self, theta):
        return super().model(theta.at[1].set(theta[0]))


class Shared(Curves):
    """The rates of both exponentials are one parameter: only their amplitudes cannot be told apart."""

    def model(self, theta):
        amplitudes = theta[1:].reshape(-1, 2)
        return jnp.sum(amplitudes, axis=1)[:, None] * jnp.exp(-theta[0] * self.t)[None, :]


def test_what_cannot_be_told_apart_is_named():
    base = made([0.7], np.full((3, 2), [2.0, 0.0]), start=[0.3])
    shared = Shared(base.space, base.t, base.y, base.sigma, 1, 2)
    result, outcome, _ = fit(shared)
    assert outcome == Outcome.CONVERGED
    np.testing.assert_array_equal(result.unidentified, [False] + 6 * [True])
    assert np.isnan(result.stderr[1:]).all()
    one, _, _ = fit(made([0.7], np.full((3, 1), 2.0), start=[0.3]))
    jacobian = np.asarray(jax.jacfwd(shared.residuals)(jnp.asarray(result.theta)))
    expected = np.sqrt(np.linalg.pinv(jacobian.T @ jacobian)[0, 0])
    np.testing.assert_allclose(result.stderr[0], expected, rtol=1e-6)
    assert one.metrics["n_free"] == 4
    assert result.metrics["condition"] == np.inf

    two = made(TRUTH, np.full((3, 2), [1.0, 1.0]), start=START)
    twice, _, _ = fit(Twice(two.space, two.t, two.y, two.sigma, 2, 2))
    np.testing.assert_array_equal(twice.unidentified, [False, True] + 6 * [True])
    assert twice.metrics["information_left"] < 1e-10


class Undefined(Curves):
    """No number below a rate of 0.5."""

    def residuals(self, theta):
        return super().residuals(theta) * jnp.where(theta[0] < 0.5, jnp.nan, 1.0)


def test_a_region_without_numbers_is_stepped_back_from():
    base = made([0.6, 2.5], np.random.default_rng(5).uniform(0.5, 2.0, (3, 3)), start=[4.0, 7.0])
    problem = Undefined(base.space, base.t, base.y, base.sigma, 2, 3)
    result, outcome, _ = fit(problem)
    assert outcome == Outcome.CONVERGED
    assert_same(result, by_scipy(base, start=result.theta))


def test_a_start_without_numbers_is_an_outcome():
    base = made([0.6, 2.5], np.ones((2, 3)), start=[0.4, 7.0])
    result, outcome, steps = fit(Undefined(base.space, base.t, base.y, base.sigma, 2, 3))
    assert (outcome, steps) == (Outcome.NONFINITE, 1)
    np.testing.assert_array_equal(result.theta, base.space.initial)
    assert np.isnan(result.stderr).all()


def test_fixed_parameters_drop_out_of_the_groups():
    amplitudes = np.random.default_rng(6).uniform(0.5, 2.0, (3, 3))
    problem = made(TRUTH, amplitudes, start=START)
    free = [n for n in problem.space.names if n != "rate1" and not n.endswith("[2]")][::-1]
    free = [n for n in problem.space.names if n in free]
    result, outcome, _ = fit(problem, free=free)
    assert outcome == Outcome.CONVERGED
    plain, _, _ = fit(problem, free=free, engine=Trf())
    np.testing.assert_allclose(result.theta, plain.theta, rtol=1e-6)
    np.testing.assert_allclose(result.arrays["covariance"], plain.arrays["covariance"], rtol=1e-5, atol=1e-12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"is_linear": False}, "does not say which parameters are linear"),
        ({"free": ["rate0", "c0[0]", "c1[1]"]}, "has others free"),
        ({"free": ["rate0"]}, "all linear parameters are fixed"),
        ({"free": ["c0[0]", "c1[0]"]}, "only linear parameters are free"),
    ],
)
def test_what_cannot_be_separated_is_refused(change, message):
    base = made([0.7], np.ones((2, 2)), start=[0.3])
    problem = Curves(base.space, base.t, base.y, base.sigma, 1, 2, is_linear=change.get("is_linear", True))
    with pytest.raises(InvalidValue, match=message) as caught:
        fit(problem, free=change.get("free"))
    assert "trf" in str(caught.value.hint) or "same ones" in str(caught.value.hint)


class Declared(Problem):
    """A problem with the names of its linear parameters."""

    space: ThetaSpace = eqx.field(static=True)
    inner: Problem
    names: tuple[str, ...] = eqx.field(static=True)
    absolute_sigma = False

    def linear(self):
        return (self.names,)

    def residuals(self, theta):
        return self.inner.residuals(theta)


SEPARABLE = {
    "DanWood": (0,),
    "ENSO": (0, 1, 2, 4, 5, 7, 8),
    "Gauss1": (0, 2, 5),
    "Gauss3": (0, 2, 5),
    "Lanczos3": (0, 2, 4),
    "Misra1a": (0,),
    "Misra1d": (0,),
    "Rat42": (0,),
    "Roszman1": (0, 1),
}


@pytest.mark.long
@pytest.mark.parametrize("name", SEPARABLE)
def test_certified_values(name):
    data = read_nist(name)
    for start in (1, 2):
        problem = nist.build(NistOptions(dataset=name, start_point=start))
        names = tuple(problem.space.names[i] for i in SEPARABLE[name])
        result, outcome, _ = fit(Declared(problem.space, problem, names))
        assert outcome == Outcome.CONVERGED
        np.testing.assert_allclose(result.theta, data.certified, rtol=1e-6)
        np.testing.assert_allclose(result.stderr, data.certified_sd, rtol=1e-6)
        np.testing.assert_allclose(2.0 * result.loss, data.certified_rss, rtol=1e-6)
