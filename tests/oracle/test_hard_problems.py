"""Fits that are known to go wrong: `converged` must be true, and most must be right.

| family | what is hard | truth |
|---|---|---|
| line | offsets of 0 to 1e12 errors (dates, frequencies) | closed form without the offset |
| dip | the time of a dip as a Julian date | scipy, time without the day |
| decay | A·exp(−k x) from k = −10 to 20 | scipy |
| two rates | exponentials with rates 0.70 and 0.72 | scipy from the truth |
| polynomial | degree 11, condition 8e7 | Chebyshev basis, where it is 10 |
| positive, share | log and logit parameters, starts next to a bound | mean of the data |
| boxes | bounds far away, and a minimum beyond one | closed form |
| sums | only a + b matters, free or with b at a bound | closed form; both named |
| Meyer, Heart8, Chebyquad, Brown and Dennis | as published, near and far starts | published minima, scipy |
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import more_wild
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.polynomial import chebyshev
from scipy.optimize import least_squares

from campaign.engines.base import Outcome
from campaign.engines.trf import Trf
from campaign.problem.base import Problem
from campaign.problem.target import Target
from campaign.space import Parameter, ThetaSpace
from programs import compiled, whole_run

jax.config.update("jax_enable_x64", True)
RNG = np.random.default_rng(20)
ENGINE = Trf()


class Curve(Problem):
    """(model(theta, x) − y)/σ."""

    space: ThetaSpace = eqx.field(static=True)
    model: Callable = eqx.field(static=True)
    x: jax.Array
    y: jax.Array
    sigma: jax.Array

    def residuals(self, theta):
        return (self.model(theta, self.x) - self.y) / self.sigma


class Case(NamedTuple):
    """One fit; `truth` and `sigma` are the right answer and its errors, None where only the loss is known."""

    name: str
    problem: Problem
    start: np.ndarray
    truth: np.ndarray | None
    sigma: np.ndarray | None
    loss: float | None = None


@compiled
def run(goal: Target):
    state, steps = whole_run(ENGINE, goal)
    return ENGINE.finish(goal, state), ENGINE.outcome(state), steps


def fit(problem: Problem, start):
    scale = np.maximum(0.01 * np.abs(start), 1e-3)
    result, outcome, steps = run(Target(problem, jnp.asarray(start, float), jnp.asarray(scale)))
    return jax.tree.map(np.asarray, result), int(outcome), int(steps)


def space(d, lower=-np.inf, upper=np.inf, transform="identity", initial=0.5):
    one = {"initial": initial, "lower": lower, "upper": upper, "transform": transform}
    return ThetaSpace(tuple(Parameter(name=f"p{i}", **one) for i in range(d)))


def curve(where, model, x, y, sigma):
    return Curve(where, model, jnp.asarray(x), jnp.asarray(y), jnp.asarray(float(sigma)))


def tight(residuals, start):
    """scipy's answer, its errors and its loss, with tolerances at rounding."""
    jacobian = jax.jit(jax.jacfwd(residuals))
    options = {"x_scale": "jac", "ftol": 1e-15, "xtol": 1e-15, "gtol": 1e-15, "max_nfev": 3000}
    found = least_squares(lambda p: np.asarray(residuals(p)), start, jac=lambda p: np.asarray(jacobian(p)), **options)
    return found.x, np.sqrt(np.diag(np.linalg.pinv(found.jac.T @ found.jac))), found.cost


def line(theta, x):
    return theta[0] + theta[1] * x


def lines():
    x = np.linspace(0, 5, 50)
    noise = RNG.standard_normal(50)
    for offset, sigma in ((0.0, 1.0), (1e3, 1e-6), (2460000.5, 1e-6), (1.6e9, 1e-3), (1e12, 1.0), (-1e9, 1e-3)):
        y = offset + 2 * x * sigma * 1e3 + sigma * noise
        design = np.stack([np.ones(50), x], axis=1) / sigma
        inverse = np.linalg.inv(design.T @ design)
        found = inverse @ (design.T @ ((y - offset) / sigma)) + [offset, 0.0]
        start = [0.0, 0.0] if offset < 1e9 else [offset * (1 + 1e-9), 1.0]
        yield Case(
            f"line, offset {offset:g}", curve(space(2), line, x, y, sigma), start, found, np.sqrt(np.diag(inverse))
        )


def dip(theta, x):
    return 1 - theta[1] * jnp.exp(-0.5 * ((x - theta[0]) / theta[2]) ** 2)


def dips():
    day = 2459000.0
    t = day + np.linspace(0, 0.3, 200)
    y = 1 - 0.01 * np.exp(-0.5 * ((t - day - 0.1623) / 0.03) ** 2) + 1e-5 * RNG.standard_normal(200)
    near = curve(space(3), dip, t - day, y, 1e-5)
    found, sigma, _ = tight(near.residuals, [0.1623, 0.01, 0.03])
    for shift in (0.0, 2e-4, 2e-3, 1e-2, 3e-2):
        start = [day + 0.1623 + shift, 0.0101, 0.0301]
        yield Case(
            f"dip, {shift:g} days off", curve(space(3), dip, t, y, 1e-5), start, found + np.array([day, 0, 0]), sigma
        )


def decay(theta, x):
    return theta[0] * jnp.exp(-theta[1] * x)


def decays():
    x = np.linspace(0, 5, 50)
    problem = curve(space(2), decay, x, 3 * np.exp(-0.7 * x) + 0.1 * RNG.standard_normal(50), 0.1)
    found, sigma, _ = tight(problem.residuals, [3.0, 0.7])
    for rate in (-10.0, -3.0, 0.0, 5.0, 20.0):
        yield Case(f"decay from k = {rate:g}", problem, [1.0, rate], found, sigma)


def two_rates(theta, x):
    return theta[0] * jnp.exp(-theta[1] * x) + theta[2] * jnp.exp(-theta[3] * x)


def pairs():
    x = np.linspace(0, 10, 200)
    y = np.exp(-0.70 * x) + np.exp(-0.72 * x)
    for sigma, start in ((1e-7, [0.9, 0.69, 1.1, 0.73]), (1e-7, [1.0, 0.6, 1.0, 0.8]), (1e-6, [1.2, 0.65, 0.8, 0.75])):
        problem = curve(space(4), two_rates, x, y + sigma * np.sin(37 * x), sigma)
        found, error, _ = tight(problem.residuals, [1.0, 0.70, 1.0, 0.72])
        yield Case(f"two rates, from {start}", problem, start, found, error)


def polynomial(theta, x):
    return jnp.sum(theta[:, None] * x[None, :] ** jnp.arange(12.0)[:, None], axis=0)


def polynomials():
    x = np.linspace(-1, 1, 100) * 0.5 + 0.5
    y = np.cos(7 * x) + 0.01 * RNG.standard_normal(100)
    basis = chebyshev.chebvander(2 * x - 1, 11)
    orthogonal = np.linalg.lstsq(basis, y, rcond=None)[0]
    powers = np.zeros((12, 12))
    for k in range(12):  # Chebyshev on [0, 1] → powers of x
        inner = np.polynomial.Polynomial(chebyshev.cheb2poly(np.eye(12)[k]))(np.polynomial.Polynomial([-1.0, 2.0]))
        powers[: k + 1, k] = inner.coef
    covariance = powers @ np.linalg.inv(basis.T @ basis / 1e-4) @ powers.T
    yield Case(
        "polynomial",
        curve(space(12), polynomial, x, y, 0.01),
        np.zeros(12),
        powers @ orthogonal,
        np.sqrt(np.diag(covariance)),
    )


def constant(theta, x):
    return theta[0] + 0 * x


def transformed():
    y = 2 + 0.1 * RNG.standard_normal(40)
    truth, sigma = np.array([y.mean()]), np.array([0.1 / np.sqrt(40)])
    for transform, starts in (("log", (1e-9, 1e-3, 1e5)), ("logit", (1e-9, 2.5, 5 - 1e-9))):
        where = space(1, 0.0, np.inf if transform == "log" else 5.0, transform)
        for start in starts:
            yield Case(f"{transform} from {start:g}", curve(where, constant, y, y, 0.1), [start], truth, sigma)


def boxes():
    y = 5 + 0.1 * RNG.standard_normal(40)
    truth, sigma = np.array([y.mean()]), np.array([0.1 / np.sqrt(40)])
    yield Case("box up to 1e11", curve(space(1, 0.0, 1e11), constant, y, y, 0.1), [1e10], truth, sigma)
    yield Case("minimum beyond a bound", curve(space(1, 0.0, 4.0), constant, y, y, 0.1), [1.0], np.array([4.0]), sigma)


def published():
    for index, factors in ((17, (1, 10)), (51, (1, 10)), (30, (1,)), (26, (1,))):
        one = more_wild.case(index)
        where = space(len(one.start))
        problem = Curve(where, lambda t, x, f=one.residuals: f(t), jnp.zeros(1), jnp.zeros(1), jnp.ones(()))
        loss = {17: 43.972927585, 51: 0.0, 30: 0.00175843686, 26: 42911.1008132}[index]
        for factor in factors:
            yield Case(f"{one.name} × {factor}", problem, one.start * factor, None, None, loss)


CASES = [*lines(), *dips(), *decays(), *pairs(), *polynomials(), *transformed(), *boxes(), *published()]


def test_the_hard_problems(record_property):
    wrong, lies = [], []
    for case in CASES:
        result, outcome, steps = fit(case.problem, np.asarray(case.start, float))
        if case.truth is not None:
            off = float(np.max(np.abs(result.theta - case.truth) / case.sigma))
            is_right, is_near = off < 0.01, off < 0.1
        else:
            off = float(result.loss - case.loss)
            is_right = is_near = off < 1e-8 * case.loss + 1e-15
        row = f"{case.name:36} outcome {outcome} after {steps:4} steps, off by {off:9.2g}"
        print(row)
        record_property("hard", row)
        wrong += [] if is_right else [row]
        lies += [row] if outcome == Outcome.CONVERGED and not is_near else []
    assert len(CASES) >= 34
    assert lies == []
    assert len(wrong) <= 1  # from k = −10 the loss falls towards A → −0, k → −∞ for all steps; SciPy gets round that


@pytest.mark.parametrize("upper", [1.5, np.inf])
def test_both_parameters_of_a_sum_are_named_where_a_bound_stops_one(upper):
    """a + b and c matter: nothing is known of a and of b, whether the fit ends with b on its bound or not."""
    x = np.linspace(0, 1, 30)
    where = ThetaSpace(
        (
            Parameter(name="a", initial=0.0),
            Parameter(name="b", initial=1.0, lower=0.0, upper=upper),
            Parameter(name="c", initial=0.0),
        )
    )
    y = 5 + 2 * x + 0.1 * np.sin(40 * x)
    problem = curve(where, lambda t, x: t[0] + t[1] + t[2] * x, x, y, 0.1)
    result, outcome, _ = fit(problem, [0.0, 1.0, 0.0])
    assert outcome == Outcome.CONVERGED
    np.testing.assert_array_equal(result.unidentified, [True, True, False])
    assert (result.at_bound[1] == 1) == (upper == 1.5)
    np.testing.assert_array_equal(np.isnan(result.stderr), [True, True, False])
    design = np.stack([np.ones(30), x], axis=1) / 0.1
    np.testing.assert_allclose(result.stderr[2], np.sqrt(np.linalg.inv(design.T @ design)[1, 1]), rtol=1e-7)


def test_a_minimum_next_to_a_bound_is_not_on_it():
    """2e-5 of the bound away, and 20 standard errors: inside, with an error bar."""
    y = 1 + 2e-5 + 1e-6 * np.array([1.0, -1.0] * 20)
    result, _, _ = fit(curve(space(1, 1.0, 9.0, initial=2.0), constant, y, y, 1e-6 * np.sqrt(40)), [2.0])
    assert result.at_bound[0] == 0
    np.testing.assert_allclose(result.stderr, [1e-6], rtol=1e-6)
    beyond, _, _ = fit(curve(space(1, 1.0, 9.0, initial=2.0), constant, y - 1, y - 1, 1e-6 * np.sqrt(40)), [2.0])
    assert beyond.at_bound[0] == -1
    assert np.isnan(beyond.stderr[0])


def test_data_that_are_not_numbers_leave_no_errors():
    y = np.ones(20)
    y[3] = np.nan
    result, outcome, _ = fit(curve(space(1), constant, y, y, 0.1), [1.0])
    assert outcome == Outcome.NONFINITE
    assert np.isnan(result.stderr[0])


def bump(theta, x):
    return theta[0] + theta[1] * x + theta[2] * jnp.exp(-0.5 * x**2)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    offset=st.floats(-1e12, 1e12),
    units=st.tuples(*(st.floats(-9, 9) for _ in range(2))),
    sigma=st.floats(-12, 12),
)
def test_offset_scaling_and_units_do_not_change_the_answer_in_standard_errors(offset, units, sigma):
    """y = σ·(offset + …), the other columns in other units: the closed form of the plain problem, moved and scaled."""
    x = np.linspace(-3, 3, 60)
    noise = np.random.default_rng(5).standard_normal(60)
    design = np.stack([np.ones(60), x, np.exp(-0.5 * x**2)], axis=1)
    inverse = np.linalg.inv(design.T @ design)
    plain = inverse @ design.T @ (design @ [0, 30.0, 200.0] + noise)
    scale, error = 10.0 ** np.array([0.0, *units]), 10.0**sigma

    def scaled(theta, x_and_scale):
        return bump(theta * x_and_scale[1, :3], x_and_scale[0])

    columns = np.zeros((2, 60))
    columns[0], columns[1, :3] = x, scale
    y = error * (offset + design @ [0, 30.0, 200.0] + noise)
    problem = curve(space(3), SCALED.setdefault("model", scaled), columns, y, error)
    result, outcome, _ = fit(problem, np.array([0.9 * offset, 1.0, 1.0]) * error / scale)
    assert outcome == Outcome.CONVERGED
    wanted = error * (plain + np.array([offset, 0.0, 0.0])) / scale
    np.testing.assert_allclose((result.theta - wanted) / (error * np.sqrt(np.diag(inverse)) / scale), 0.0, atol=0.01)
    np.testing.assert_allclose(result.stderr * scale / error, np.sqrt(np.diag(inverse)), rtol=1e-5)


SCALED: dict[str, Callable] = {}  # one function object, so that all examples are one program
