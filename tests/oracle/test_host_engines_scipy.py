"""Engines on the host against scipy called bare on models written here once more, and against certified values.

An engine works in z = (theta − start) / scale; so do the bare calls. Models in NumPy and in XLA differ in the last
bits, and bare gradients are differences, so paths agree to what the iterations make of that; the tests say how far.
"""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize

from campaign.engines import differential_evolution, lbfgsb, nelder_mead, scipy_trf
from campaign.engines.base import Outcome
from campaign.engines.catalogue import (
    DifferentialEvolutionOptions,
    LbfgsbOptions,
    NelderMeadOptions,
    ScipyTrfOptions,
)
from campaign.engines.host_program import host_program
from campaign.engines.loop import run_lanes
from campaign.errors import InvalidValue
from campaign.problem.base import Problem
from campaign.problem.reference import decay, nist, rosenbrock
from campaign.problem.reference.catalogue import DecayOptions, NistOptions, RosenbrockOptions
from campaign.problem.reference.nist_data import read_nist
from campaign.space import Parameter, ThetaSpace
from campaign.testing.engine import target_of
from campaign.testing.host_engine import RecordingSink, batch_of

jax.config.update("jax_enable_x64", True)


def run(engine, problem, start=None):
    """(result, outcome, steps, trace) of one run."""
    target = target_of(problem)
    batch = batch_of(engine, target, np.asarray(target.base if start is None else start)[None, :])
    sink = RecordingSink()
    found = run_lanes(host_program(batch), batch, np.ones(1, bool), sink)
    one = jax.tree.map(lambda leaf: leaf[0], found.result)
    n = int(found.n_steps[0])
    return one, Outcome(int(found.outcome[0])), n, {k: v[0, :n] for k, v in sink.joined().items()}


def rosenbrock_residuals(x):
    return np.sqrt(2) * np.array([10 * (x[1] - x[0] ** 2), 1 - x[0]])


def decay_residuals(problem):
    t, y = np.linspace(0, 10, 100), np.asarray(problem.data)
    return lambda p: (p[0] * np.exp(-p[1] * t) + p[2] + p[3] * t - y) / 0.05


def misra_residuals():
    data = read_nist("Misra1a")
    return lambda b: b[0] * (1 - np.exp(-b[1] * np.squeeze(data.x))) - data.y


PROBLEMS = {
    "rosenbrock": lambda: (rosenbrock.build(RosenbrockOptions()), rosenbrock_residuals),
    "decay": lambda: (p := decay.build(DecayOptions(data_seed=4)), decay_residuals(p)),
    "Misra1a": lambda: (nist.build(NistOptions(dataset="Misra1a")), misra_residuals()),
}


def in_z(problem, residuals):
    """The bare residuals in z, and z → theta."""
    start, scale = np.asarray(problem.space.initial), np.asarray(problem.space.typical)
    return (lambda z: residuals(start + scale * z)), (lambda z: start + scale * z), np.zeros(len(start)), scale


@pytest.mark.parametrize("name", PROBLEMS)
def test_lbfgsb_agrees_with_scipy_called_bare(name):
    problem, residuals = PROBLEMS[name]()
    bare, theta, z0, scale = in_z(problem, residuals)
    result, outcome, n_steps, trace = run(lbfgsb.build(LbfgsbOptions()), problem)
    answer = optimize.minimize(
        lambda z: 0.5 * bare(z) @ bare(z), z0, method="L-BFGS-B", jac="3-point", options={"ftol": 1e-13, "gtol": 1e-6}
    )
    assert outcome == Outcome.CONVERGED
    assert answer.success
    np.testing.assert_allclose(result.loss, answer.fun, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(result.theta, theta(answer.x), atol=1e-4 * scale.min(), rtol=1e-5)
    np.testing.assert_allclose(trace["loss"][0], 0.5 * bare(z0) @ bare(z0), rtol=1e-13)
    assert n_steps == pytest.approx(answer.nit + 1, abs=2)
    first = []  # the beginning of the path is the same to rounding
    optimize.minimize(
        lambda z: 0.5 * bare(z) @ bare(z), z0, method="L-BFGS-B", jac="3-point", callback=first.append,
        options={"ftol": 1e-13, "gtol": 1e-6, "maxiter": 4},
    )  # fmt: skip
    np.testing.assert_allclose(trace["theta"][1:5], [theta(z) for z in first[:4]], rtol=1e-6, atol=1e-6 * scale.min())
    assert result.stderr is None


@pytest.mark.parametrize("name", PROBLEMS)
def test_differences_lead_where_exact_gradients_do(name):
    problem, _ = PROBLEMS[name]()
    exact, _, _, _ = run(lbfgsb.build(LbfgsbOptions()), problem)
    found, outcome, _, trace = run(lbfgsb.build(LbfgsbOptions(derivatives="finite")), problem)
    assert outcome == Outcome.CONVERGED
    np.testing.assert_allclose(found.loss, exact.loss, rtol=1e-9, atol=1e-10)
    assert trace["n_evaluations"][0] == 1 + 2 * len(problem.space)


@pytest.mark.parametrize("name", PROBLEMS)
def test_nelder_mead_agrees_with_scipy_called_bare(name):
    problem, residuals = PROBLEMS[name]()
    bare, theta, z0, scale = in_z(problem, residuals)
    result, outcome, n_steps, _ = run(nelder_mead.build(NelderMeadOptions()), problem)
    answer = optimize.minimize(
        lambda z: 0.5 * bare(z) @ bare(z), z0, method="Nelder-Mead",
        options={
            "initial_simplex": np.vstack([z0, 5 * np.eye(len(z0))]), "xatol": 1e-4, "fatol": 1e-8,
            "maxiter": 5000, "maxfev": 50000,
        },
    )  # fmt: skip
    assert outcome == Outcome.CONVERGED
    assert answer.success
    np.testing.assert_allclose(result.loss, answer.fun, rtol=1e-9, atol=1e-8)
    np.testing.assert_allclose(result.theta, theta(answer.x), atol=1e-3 * scale.min(), rtol=1e-6)
    assert n_steps == pytest.approx(answer.nit, rel=0.1)  # nit counts the first simplex


@pytest.mark.parametrize("name", PROBLEMS)
def test_trf_agrees_with_scipy_called_bare(name):
    problem, residuals = PROBLEMS[name]()
    bare, theta, z0, scale = in_z(problem, residuals)
    result, outcome, n_steps, trace = run(scipy_trf.build(ScipyTrfOptions()), problem)
    answer = optimize.least_squares(bare, z0, "3-point", x_scale="jac", ftol=1e-12, xtol=1e-12, gtol=1e-12)
    assert outcome == Outcome.CONVERGED
    assert answer.success
    np.testing.assert_allclose(result.loss, answer.cost, rtol=1e-11, atol=1e-16)
    np.testing.assert_allclose(result.theta, theta(answer.x), rtol=1e-6)
    covariance = np.linalg.inv(answer.jac.T @ answer.jac) * np.outer(scale, scale)
    if not problem.absolute_sigma:
        covariance *= 2 * answer.cost / (len(answer.fun) - len(z0))
    np.testing.assert_allclose(result.arrays["covariance"], covariance, rtol=1e-5)
    np.testing.assert_allclose(result.stderr, np.sqrt(np.diag(covariance)), rtol=1e-6)
    assert n_steps == pytest.approx(answer.njev, abs=2)
    assert (np.diff(trace["loss"]) <= 0).all()


def test_certified_values_of_misra1a():
    data = read_nist("Misra1a")
    problem = nist.build(NistOptions(dataset="Misra1a", start_point=1))
    result, outcome, _, _ = run(scipy_trf.build(ScipyTrfOptions()), problem)
    assert outcome == Outcome.CONVERGED
    np.testing.assert_allclose(result.theta, data.certified, rtol=1e-8)
    np.testing.assert_allclose(result.stderr, data.certified_sd, rtol=1e-7)
    np.testing.assert_allclose(2 * result.loss, data.certified_rss, rtol=1e-10)
    for engine, rtol in ((lbfgsb.build(LbfgsbOptions()), 1e-6), (nelder_mead.build(NelderMeadOptions()), 1e-4)):
        result, outcome, _, _ = run(engine, problem)
        assert outcome == Outcome.CONVERGED
        np.testing.assert_allclose(result.theta, data.certified, rtol=rtol)


@pytest.mark.parametrize("loss", ["soft_l1", "huber", "cauchy"])
def test_robust_losses_agree_with_scipy_called_bare(loss):
    problem, residuals = PROBLEMS["decay"]()
    spoiled = eqx.tree_at(lambda p: p.data, problem, problem.data.at[jnp.array([3, 40, 77])].add(1.0))
    bare, theta, z0, _ = in_z(spoiled, decay_residuals(spoiled))
    result, outcome, _, _ = run(scipy_trf.build(ScipyTrfOptions(loss=loss, f_scale=1.5)), spoiled)
    with np.errstate(over="ignore"):  # trial steps far off
        answer = optimize.least_squares(
            bare, z0, "3-point", x_scale="jac", loss=loss, f_scale=1.5, ftol=1e-12, xtol=1e-12, gtol=1e-12
        )
    assert outcome == Outcome.CONVERGED
    np.testing.assert_allclose(result.loss, answer.cost, rtol=1e-10)
    np.testing.assert_allclose(result.theta, theta(answer.x), rtol=1e-6)
    assert len(residuals(np.asarray(result.theta))) == int(result.metrics["n_data"])


class Plain(Problem):
    """A likelihood given as a function."""

    space: ThetaSpace = eqx.field(static=True)
    minus: object = eqx.field(static=True)

    def log_likelihood(self, theta):
        return -self.minus(theta)


def box(d, lower, upper, initial=0.5, **more):
    return ThetaSpace(
        tuple(Parameter(name=f"x{i}", initial=initial, lower=lower, upper=upper, **more) for i in range(d))
    )


def rastrigin(x):
    """Global minimum 0 at 0; a local one near every other whole number. Törn & Žilinskas 1989, Global Optimization."""
    return 10.0 * x.shape[0] + jnp.sum(x**2 - 10.0 * jnp.cos(2.0 * jnp.pi * x))


def test_differential_evolution_finds_the_global_minimum_of_rastrigin():
    problem = Plain(box(3, -5.12, 5.12, initial=3.3), rastrigin)
    result, outcome, _, trace = run(differential_evolution.build(DifferentialEvolutionOptions()), problem)
    assert outcome == Outcome.CONVERGED
    np.testing.assert_allclose(result.theta, 0.0, atol=1e-4)
    assert result.loss < 1e-6
    assert trace["spread"][-1] <= 1e-6
    assert result.n_evaluations == 45 * len(trace["loss"])
    local, _, _, _ = run(lbfgsb.build(LbfgsbOptions()), problem)
    assert local.loss > 1.0  # the start is in another valley


def test_differential_evolution_agrees_with_scipy_called_bare():
    """The same random numbers, so the same populations."""
    problem = Plain(box(3, -5.12, 5.12, initial=3.3), rastrigin)
    result, _, n_steps, trace = run(differential_evolution.build(DifferentialEvolutionOptions()), problem)
    scale = 0.01 * 10.24
    found = optimize.differential_evolution(
        lambda z: 30 + np.sum((3.3 + scale * z) ** 2 - 10 * np.cos(2 * np.pi * (3.3 + scale * z)), axis=0),
        [((-5.12 - 3.3) / scale, (5.12 - 3.3) / scale)] * 3, x0=np.zeros(3), tol=1e-12, atol=1e-6, maxiter=1000,
        rng=np.random.default_rng([7, 0, 1, 2, 3]), polish=False, updating="deferred", vectorized=True,
    )  # fmt: skip
    np.testing.assert_allclose(trace["theta"][-1], 3.3 + scale * found.x, atol=1e-6)
    assert n_steps == pytest.approx(found.nit + 1, abs=3)
    assert result.loss == pytest.approx(found.fun, abs=1e-8)


def test_differential_evolution_asks_for_a_box():
    problem = rosenbrock.build(RosenbrockOptions())
    with pytest.raises(InvalidValue, match="`x0`, `x1`"):
        run(differential_evolution.build(DifferentialEvolutionOptions()), problem)
    result, _, _, _ = run(differential_evolution.build(DifferentialEvolutionOptions(reach=300.0)), problem)
    np.testing.assert_allclose(result.theta, 1.0, atol=1e-3)


def with_an_if(theta):
    """Pure Python: |x − 1| where x is negative, else a parabola; the other parameter by a loop."""

    def python(x):
        x0, x1 = (float(v) for v in x)
        left = abs(x0 - 1.0) if x0 < 0 else (x0 - 1.0) ** 2
        while x1 > 10.0:
            x1 /= 2.0
        return np.asarray(left + (x1 - 3.0) ** 2, np.float64)

    return jax.pure_callback(python, jax.ShapeDtypeStruct((), jnp.float64), theta)


@pytest.mark.parametrize(
    "engine",
    [
        nelder_mead.build(NelderMeadOptions()),
        lbfgsb.build(LbfgsbOptions()),
        differential_evolution.build(DifferentialEvolutionOptions(reach=500.0)),
    ],
    ids=["nelder-mead", "scipy-lbfgsb", "differential-evolution"],
)
def test_a_model_in_python_that_jax_cannot_differentiate(engine):
    problem = Plain(box(2, -np.inf, np.inf, initial=-0.5, scale=0.01), with_an_if)
    result, outcome, _, _ = run(engine, problem)
    assert outcome == Outcome.CONVERGED
    np.testing.assert_allclose(result.theta, [1.0, 3.0], atol=2e-3)
    assert result.loss < 1e-6


def test_an_exception_of_the_model_comes_out_as_it_is():
    def broken(theta):
        def python(x):
            raise FileNotFoundError("the table is missing")

        return jax.pure_callback(python, jax.ShapeDtypeStruct((), jnp.float64), theta)

    with pytest.raises(Exception, match="the table is missing"):
        run(nelder_mead.build(NelderMeadOptions()), Plain(box(1, -1.0, 1.0), broken))


@pytest.mark.parametrize(
    "engine",
    [nelder_mead.build(NelderMeadOptions()), lbfgsb.build(LbfgsbOptions()), scipy_trf.build(ScipyTrfOptions())],
    ids=["nelder-mead", "scipy-lbfgsb", "scipy-trf"],
)
def test_a_minimum_outside_of_the_box_is_found_on_its_side(engine):
    """Rosenbrock with x0 ≤ ½: at x0 = ½, x1 = ¼, loss ¼."""
    space = ThetaSpace(
        (Parameter(name="x0", initial=-1.2, lower=-2.0, upper=0.5), Parameter(name="x1", initial=1.0, lower=-2.0))
    )
    result, outcome, _, _ = run(engine, rosenbrock.Rosenbrock(space, jnp.asarray(100.0)))
    assert outcome == Outcome.CONVERGED
    np.testing.assert_allclose(result.theta, [0.5, 0.25], atol=1e-4)
    assert result.theta[0] <= 0.5
    assert result.loss == pytest.approx(0.25, abs=1e-5)
    assert result.at_bound.tolist() == [1, 0]


@pytest.mark.parametrize("factory", [lbfgsb.build(LbfgsbOptions()), scipy_trf.build(ScipyTrfOptions())])
def test_nearness_to_a_bound_is_no_matter_of_the_range(factory):
    """5 ± 0.1 above a bound at 0, of a range of 10¹¹, and a rate of 10⁻⁸ above 10⁻¹² in [10⁻¹², 10³]: both inside."""
    space = ThetaSpace(
        (
            Parameter(name="a", initial=6.0, lower=0.0, upper=1e11, scale=1.0),
            Parameter(name="k", initial=1.1e-8, lower=1e-12, upper=1e3, scale=1e-9, transform="log"),
        )
    )

    class Near(Problem):
        space: ThetaSpace = eqx.field(static=True)

        def residuals(self, theta):
            return jnp.stack([(theta[0] - 5.0) / 0.1, (theta[1] - 1e-8) / 1e-10])

    result, outcome, _, _ = run(factory, Near(space))
    assert outcome == Outcome.CONVERGED
    np.testing.assert_allclose(result.theta, [5.0, 1e-8], rtol=1e-4)
    assert result.at_bound.tolist() == [0, 0]
    if result.stderr is not None:
        np.testing.assert_allclose(result.stderr, [0.1, 1e-10], rtol=1e-4)


def test_a_line_search_steps_back_from_the_undefined():
    """x − ln(x) from 5: the first steps of a quasi-Newton method lead to negative x, where there is no logarithm."""
    problem = Plain(box(1, -np.inf, np.inf, initial=5.0, scale=10.0), lambda x: x[0] - jnp.log(x[0]))
    result, outcome, _, trace = run(lbfgsb.build(LbfgsbOptions()), problem)
    assert outcome == Outcome.CONVERGED
    np.testing.assert_allclose(result.theta, 1.0, rtol=1e-5)
    assert np.isfinite(trace["loss"]).all()


def test_a_line_search_that_gives_up_is_called_stalled():
    """|x| with a tilt: at the kink there is no lower point and no small gradient."""
    problem = Plain(box(1, -np.inf, np.inf, initial=0.7, scale=0.1), lambda x: jnp.abs(x[0]) + 1e-3 * x[0])
    result, outcome, _, _ = run(lbfgsb.build(LbfgsbOptions(ftol=0.0, gtol=1e-12)), problem)
    assert outcome == Outcome.STALLED
    assert result.metrics["grad_norm"] > 0.09
    assert abs(result.theta[0]) < 1e-6


def test_nobody_estimates_errors_but_trf():
    problem, _ = PROBLEMS["decay"]()
    assert run(lbfgsb.build(LbfgsbOptions()), problem)[0].stderr is None
    assert run(nelder_mead.build(NelderMeadOptions(max_steps=5)), problem)[0].stderr is None


def test_a_problem_without_data_is_refused():
    class Nothing(Problem):
        space: ThetaSpace = eqx.field(static=True)

    with pytest.raises(InvalidValue, match="needs a likelihood"):
        run(nelder_mead.build(NelderMeadOptions()), Nothing(box(1, -1.0, 1.0)))
    with pytest.raises(InvalidValue, match="needs residuals"):
        run(scipy_trf.build(ScipyTrfOptions()), Plain(box(1, -1.0, 1.0), lambda x: x[0] ** 2))


class Cliff(Problem):
    """(x0 − 2)² + x1², and nothing known beyond x0 = 1.5: line searches end in the wall."""

    space: ThetaSpace = eqx.field(static=True)

    def log_likelihood(self, theta):
        return jnp.where(theta[0] > 1.5, -1e300, -((theta[0] - 2.0) ** 2) - theta[1] ** 2)


def test_lbfgsb_whose_line_search_was_cut_short_has_not_converged():
    result, outcome, _, _ = run(lbfgsb.build(LbfgsbOptions()), Cliff(box(2, -jnp.inf, jnp.inf, initial=1.0)))
    assert result.loss > 0.26  # the minimum at the wall is 0.25: scipy's own word here is success
    assert outcome == Outcome.STALLED
