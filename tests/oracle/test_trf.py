"""`trf` against scipy.optimize.least_squares: the same minima, the same covariances, and failures that are values."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import least_squares

from campaign.engines.base import Outcome, Result
from campaign.engines.trf import Trf
from campaign.problem.base import Problem
from campaign.problem.reference import decay, gaussian, rosenbrock
from campaign.problem.reference.catalogue import DecayOptions, GaussianOptions, RosenbrockOptions, gaussian_moments
from campaign.problem.target import Target
from campaign.space import Parameter, ThetaSpace
from programs import compiled, whole_run

jax.config.update("jax_enable_x64", True)


class Curve(Problem):
    """Residuals (model(theta, x) − y)/σ of any model."""

    space: ThetaSpace = eqx.field(static=True)
    model: Callable = eqx.field(static=True)
    x: jax.Array
    y: jax.Array
    sigma: float = eqx.field(static=True, default=1.0)

    def residuals(self, theta):
        return (self.model(theta, self.x) - self.y) / self.sigma


class Unscaled(Curve):
    """The same, with unknown errors."""

    absolute_sigma: ClassVar[bool] = False


def space(values, lower=None, upper=None, transforms=None) -> ThetaSpace:
    d = len(values)
    lower = np.full(d, -np.inf) if lower is None else lower
    upper = np.full(d, np.inf) if upper is None else upper
    transforms = ["identity"] * d if transforms is None else transforms
    return ThetaSpace(
        tuple(
            Parameter(name=f"p{i}", initial=float(v), lower=float(a), upper=float(b), transform=t)
            for i, (v, a, b, t) in enumerate(zip(values, lower, upper, transforms, strict=True))
        )
    )


def target(problem: Problem) -> Target:
    return Target(problem, jnp.asarray(problem.space.initial), jnp.asarray(problem.space.typical))


@compiled
def run(engine: Trf, goal: Target):
    state, k = whole_run(engine, goal)
    return engine.finish(goal, state), engine.outcome(state), k


def fit(problem: Problem, **options) -> tuple[Result, int, int]:
    """Result, outcome and number of steps of one run."""
    result, outcome, steps = run(Trf(**options), target(problem))
    return jax.tree.map(np.asarray, result), int(outcome), int(steps)


@compiled
def residuals_of(problem: Problem, theta):
    return problem.residuals(theta)


@compiled
def jacobian_of(problem: Problem, theta):
    return jax.jacfwd(problem.residuals)(theta)


def scipy_fit(problem: Problem, loss: str = "linear", f_scale: float = 1.0):
    """SciPy's answer, polished to the end: tolerances at rounding, columns scaled by the Jacobian."""
    found = problem.space.initial
    for _ in range(3):
        answer = least_squares(
            lambda p: np.asarray(residuals_of(problem, p)),
            np.clip(found, problem.space.lower, problem.space.upper),
            jac=lambda p: np.asarray(jacobian_of(problem, p)),
            bounds=(problem.space.lower, problem.space.upper),
            x_scale="jac",
            ftol=1e-15,
            xtol=1e-15,
            gtol=1e-15,
            max_nfev=2000,
            loss=loss,
            f_scale=f_scale,
        )
        found = answer.x
    return answer


def peak(theta, x):
    return theta[0] * jnp.exp(-0.5 * ((x - theta[1]) / theta[2]) ** 2) + theta[3] + theta[4] * x


def make_peak(seed: int, kind: type[Curve] = Curve, noise: float = 0.1, lower=None, upper=None) -> Curve:
    rng = np.random.default_rng(seed)
    x = np.linspace(-3, 3, 80)
    truth = np.array([2.0, 0.3, 0.8, 1.0, -0.2]) * (1 + 0.2 * rng.standard_normal(5))
    y = np.asarray(peak(truth, x)) + noise * rng.standard_normal(80)
    start = np.array([1.5, 0.0, 1.0, 0.5, 0.0])
    if lower is not None:
        start = np.clip(start, np.asarray(lower) + 1e-3, np.asarray(upper) - 1e-3)
    return kind(space(start, lower, upper), peak, jnp.asarray(x), jnp.asarray(y), noise)


@pytest.mark.parametrize("seed", range(6))
def test_unbounded_minimum_and_covariance_agree_with_scipy(seed):
    problem = make_peak(seed)
    result, outcome, _ = fit(problem)
    answer = scipy_fit(problem)
    assert outcome == Outcome.CONVERGED
    np.testing.assert_allclose(result.theta, answer.x, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(result.loss, answer.cost, rtol=1e-13)
    covariance = np.linalg.inv(answer.jac.T @ answer.jac)
    np.testing.assert_allclose(result.arrays["covariance"], covariance, rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(result.stderr, np.sqrt(np.diag(covariance)), rtol=1e-7)
    scaled = answer.jac / np.linalg.norm(answer.jac, axis=0)
    frobenius = np.linalg.norm(scaled) * np.linalg.norm(np.linalg.pinv(scaled))
    np.testing.assert_allclose(result.metrics["condition"], frobenius, rtol=1e-6)
    np.testing.assert_allclose(result.metrics["chi2"], 2 * answer.cost, rtol=1e-13)
    assert (int(result.metrics["n_data"]), int(result.metrics["n_free"])) == (80, 5)


BOXES = {
    "amplitude capped": ([-9, -9, 0.1, -9, -9], [1.2, 9, 9, 9, 9]),
    "width floored": ([-9, -9, 1.4, -9, -9], [9, 9, 9, 9, 9]),
    "three active": ([-9, 0.6, 0.1, -9, 0.05], [1.0, 9, 9, 9, 9]),
    "all but one active": ([3.0, 0.9, 1.2, 1.6, -9], [9, 9, 9, 9, 9]),
    "loose": ([-99, -99, 0.01, -99, -99], [99, 99, 99, 99, 99]),
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("box", BOXES)
def test_bounded_minimum_agrees_with_scipy(box, seed):
    lower, upper = (np.array(b, float) for b in BOXES[box])
    problem = make_peak(seed, lower=lower, upper=upper)
    result, outcome, _ = fit(problem)
    answer = scipy_fit(problem)
    assert outcome == Outcome.CONVERGED
    assert np.all((result.theta >= lower) & (result.theta <= upper))
    active = result.at_bound != 0
    on_bound = (np.abs(answer.x - lower) < 1e-6) * -1 + (np.abs(answer.x - upper) < 1e-6) * 1
    np.testing.assert_array_equal(result.at_bound, on_bound)
    # scipy's interior iterates only approach a bound: it cannot be better than an answer that sits on it
    assert result.loss <= answer.cost * (1 + 1e-12)
    np.testing.assert_allclose(result.loss, answer.cost, rtol=1e-8)
    np.testing.assert_allclose(result.theta, answer.x, rtol=1e-6, atol=1e-6)
    # with the active parameters held, the rest is an unbounded problem
    jacobian = np.asarray(jacobian_of(problem, result.theta))[:, ~active]
    residuals = np.asarray(residuals_of(problem, result.theta))
    assert np.max(np.abs(jacobian.T @ residuals) / np.linalg.norm(jacobian, axis=0)) < 1e-6 * np.linalg.norm(residuals)
    conditional = np.sqrt(np.diag(np.linalg.inv(jacobian.T @ jacobian)))
    np.testing.assert_allclose(result.stderr[~active], conditional, rtol=1e-7)
    assert np.all(np.isnan(result.stderr[active]))


@pytest.mark.parametrize("loss", ["soft_l1", "huber", "cauchy"])
@pytest.mark.parametrize("f_scale", [1.0, 2.5])
def test_robust_losses_agree_with_scipy(loss, f_scale):
    problem = make_peak(3)
    outliers = problem.y.at[jnp.array([5, 30, 31, 60])].add(jnp.array([3.0, -2.0, 4.0, 1.5]))
    problem = eqx.tree_at(lambda p: p.y, problem, outliers)
    result, outcome, _ = fit(problem, loss=loss, f_scale=f_scale)
    answer = scipy_fit(problem, loss, f_scale)
    assert outcome == Outcome.CONVERGED
    np.testing.assert_allclose(result.loss, answer.cost, rtol=1e-12)
    np.testing.assert_allclose(result.theta, answer.x, rtol=1e-7)
    # scipy hands back the Jacobian that its robust Gauss–Newton matrix is made of
    covariance = np.linalg.inv(answer.jac.T @ answer.jac)
    np.testing.assert_allclose(result.stderr, np.sqrt(np.diag(covariance)), rtol=1e-6)


def test_unknown_errors_scale_the_covariance_by_the_residuals():
    absolute, scaled = make_peak(1, Curve, 0.1), make_peak(1, Unscaled, 0.1)
    known, _, _ = fit(absolute)
    unknown, _, _ = fit(scaled)
    variance = 2 * unknown.loss / (80 - 5)
    np.testing.assert_allclose(unknown.stderr, known.stderr * np.sqrt(variance), rtol=1e-9)


class Profiled(Unscaled):
    @property
    def n_profiled(self):
        return 2


def test_profiled_parameters_take_degrees_of_freedom():
    known, _, _ = fit(make_peak(1, Curve, 0.1))
    unknown, _, _ = fit(make_peak(1, Profiled, 0.1))
    np.testing.assert_allclose(unknown.stderr, known.stderr * np.sqrt(2 * unknown.loss / (80 - 5 - 2)), rtol=1e-9)


def test_as_many_parameters_as_data_leave_nothing_to_tell_the_errors_from():
    x = jnp.arange(2.0)
    result, outcome, _ = fit(Unscaled(space([0.3, 0.1]), lambda t, x: t[0] + t[1] * x, x, 2 * x + 1))
    assert outcome == Outcome.CONVERGED
    np.testing.assert_allclose(result.theta, [1.0, 2.0], rtol=1e-12)
    assert np.all(result.unidentified)
    assert np.all(np.isnan(result.stderr))


@pytest.mark.parametrize("transform", ["log", "logit"])
def test_a_transform_changes_the_path_and_not_the_answer(transform):
    plain = make_peak(2)
    lower = [0.0, -9, 0.0, 0.0, -9]
    upper = [np.inf, 9, np.inf, np.inf, 9] if transform == "log" else [10, 9, 10, 10, 9]
    kinds = [transform, "identity", transform, transform, "identity"]
    moved = Curve(space(plain.space.initial, lower, upper, kinds), peak, plain.x, plain.y, 0.1)
    expected, _, _ = fit(plain)
    result, outcome, _ = fit(moved)
    assert outcome == Outcome.CONVERGED
    np.testing.assert_allclose(result.theta, expected.theta, rtol=1e-7)
    np.testing.assert_allclose(result.arrays["covariance"], expected.arrays["covariance"], rtol=1e-5, atol=1e-10)


def test_gaussian_covariance_is_exact_in_few_steps():
    options = GaussianOptions(d=6, mean=3.0, correlation=0.9)
    mean, covariance = gaussian_moments(options)
    result, outcome, steps = fit(gaussian.build(options))
    assert outcome == Outcome.CONVERGED
    assert steps <= 8
    np.testing.assert_allclose(result.theta, mean, rtol=1e-9)
    np.testing.assert_allclose(result.arrays["covariance"], covariance, rtol=1e-10)


@pytest.mark.parametrize("d", [2, 3, 9, 20])
def test_rosenbrock_ends_at_the_known_minimum(d):
    result, outcome, _ = fit(rosenbrock.build(RosenbrockOptions(d=d)), max_steps=500)
    assert outcome == Outcome.CONVERGED
    np.testing.assert_allclose(result.theta, np.ones(d), rtol=1e-8)
    assert result.loss < 1e-20


def test_rosenbrock_in_four_dimensions_has_a_second_minimum():
    """Shang & Qiu 2006, Evol. Comput. 14, 119, table 1: f = 3.70142 at (−0.775659, 0.613093, 0.382062, 0.145972)."""
    result, outcome, _ = fit(rosenbrock.build(RosenbrockOptions(d=4)))
    assert outcome == Outcome.CONVERGED
    np.testing.assert_allclose(result.theta, [-0.775659, 0.613093, 0.382062, 0.145972], atol=2e-6)
    np.testing.assert_allclose(result.loss, 3.70142, rtol=1e-5)


def test_unidentified_parameters_are_named_and_the_others_keep_their_errors():
    def model(theta, x):  # only the product of the first two matters, the last not at all
        return theta[0] * theta[1] * x + theta[2] + 0.0 * theta[3]

    x = np.linspace(0, 1, 30)
    y = 2 * x + 1 + 0.1 * np.sin(50 * x)
    problem = Curve(space([1.0, 1.0, 0.0, 0.5]), model, jnp.asarray(x), jnp.asarray(y), 0.1)
    result, outcome, _ = fit(problem)
    assert outcome == Outcome.CONVERGED
    np.testing.assert_array_equal(result.unidentified, [True, True, False, True])
    np.testing.assert_array_equal(np.isnan(result.stderr), [True, True, False, True])
    design = np.stack([x, np.ones(30)], axis=1) / 0.1
    slope, offset = np.linalg.lstsq(design, y / 0.1, rcond=None)[0]
    np.testing.assert_allclose([result.theta[0] * result.theta[1], result.theta[2]], [slope, offset], rtol=1e-9)
    np.testing.assert_allclose(result.stderr[2], np.sqrt(np.linalg.inv(design.T @ design)[1, 1]), rtol=1e-7)


@pytest.mark.parametrize(
    ("model", "start"),
    [
        (lambda t, x: t[0] ** 2 * jnp.exp(-t[1] * x), [0.0, 1.0]),  # a saddle
        (lambda t, x: jnp.maximum(t[0], 0.0) * jnp.exp(-t[1] * x), [-1.0, 1.0]),  # a plateau
        (lambda t, x: jnp.floor(t[0]) * jnp.exp(-jnp.floor(t[1]) * x), [1.5, 1.5]),
    ],
    ids=["saddle", "plateau", "steps"],
)
def test_where_no_parameter_changes_anything_nothing_has_converged(model, start):
    x = jnp.arange(8.0)
    result, outcome, _ = fit(Curve(space(start), model, x, 2.0 * jnp.exp(-0.5 * x), 0.1))
    assert outcome == Outcome.STALLED
    assert result.unidentified.all()
    assert np.isnan(result.stderr).all()


def test_an_error_bar_without_a_digit_is_none():
    """exp(−a) falls for ever: its Jacobian at the end, 1e-78, would give a an error of 1e77."""
    x = jnp.arange(8.0)
    result, _, _ = fit(Curve(space([1.0]), lambda t, x: jnp.exp(-t[0]) + 0.0 * x, x, 0.0 * x))
    assert result.theta[0] > 100.0
    assert result.unidentified.tolist() == [True]
    assert np.isnan(result.stderr[0])


def test_more_parameters_than_data():
    rng = np.random.default_rng(5)
    design = rng.standard_normal((3, 5))
    problem = Curve(
        space(np.zeros(5)), lambda theta, x: x @ theta, jnp.asarray(design), jnp.asarray(rng.standard_normal(3))
    )
    result, outcome, _ = fit(problem)
    assert outcome == Outcome.CONVERGED
    assert result.loss < 1e-20
    assert np.all(result.unidentified)
    assert np.all(np.isnan(result.stderr))


def test_many_data():
    rng = np.random.default_rng(6)
    x = np.linspace(-3, 3, 100_000)
    truth = np.array([2.0, 0.3, 0.8, 1.0, -0.2])
    y = np.asarray(peak(truth, x)) + rng.standard_normal(x.size)
    problem = Curve(space([1.5, 0.0, 1.0, 0.5, 0.0]), peak, jnp.asarray(x), jnp.asarray(y))
    result, outcome, _ = fit(problem)
    assert outcome == Outcome.CONVERGED
    answer = scipy_fit(problem)
    np.testing.assert_allclose(result.theta, answer.x, rtol=1e-7)
    assert np.all(np.abs(result.theta - truth) < 4 * result.stderr)


def test_a_model_that_is_not_a_number_at_the_start_is_an_outcome():
    problem = Curve(space([-1.0]), lambda theta, x: jnp.sqrt(theta[0]) * x, jnp.ones(4), jnp.ones(4))
    result, outcome, steps = fit(problem)
    assert outcome == Outcome.NONFINITE
    assert steps == 1
    assert result.theta[0] == -1.0
    assert np.isnan(result.stderr[0])


def test_trial_steps_into_the_undefined_are_taken_back():
    """ln(p) = −2 from p = 5: the first full step, to p = 5(1 − ln 5 − 2) < 0, has no logarithm."""
    problem = Curve(space([5.0]), lambda theta, x: jnp.log(theta[0]) * x, jnp.ones(3), jnp.full(3, -2.0))
    result, outcome, _ = fit(problem)
    assert outcome == Outcome.CONVERGED
    np.testing.assert_allclose(result.theta, np.exp(-2.0), rtol=1e-9)


def test_a_start_on_a_bound_leaves_it_when_the_gradient_says_so():
    lower, upper = [1.5, -9, 0.1, -9, -9], [9, 9, 9, 9, 9]
    problem = make_peak(0, lower=lower, upper=upper)
    on_bound = eqx.tree_at(lambda t: t.base, target(problem), jnp.asarray([1.5, 0.0, 1.0, 0.5, 0.0]))
    engine = Trf()
    step = compiled(engine.step)
    state = engine.init(on_bound, jax.random.key(0))
    for _ in range(60):
        if int(engine.outcome(state)):
            break
        state, _ = step(on_bound, state)
    expected, _, _ = fit(problem)
    np.testing.assert_allclose(state.point.u, expected.theta, rtol=1e-6)


def test_the_trace_tells_the_path():
    problem = decay.build(DecayOptions(data_seed=3))
    engine, goal = Trf(), target(problem)
    step = compiled(engine.step)
    state = engine.init(goal, jax.random.key(0))
    losses = []
    while not int(engine.outcome(state)):
        previous = state
        state, info = step(goal, state)
        assert set(info) == {"loss", "theta", "grad_norm", "step_norm", "damping", "accepted"}
        residuals = np.asarray(problem.residuals(info["theta"]))
        np.testing.assert_allclose(info["loss"], 0.5 * residuals @ residuals, rtol=1e-13)
        if losses:
            assert bool(info["accepted"]) == bool(np.any(np.asarray(previous.point.u) != np.asarray(state.point.u)))
        else:  # the first step looks at the start
            np.testing.assert_array_equal(state.point.u, goal.start())
            assert bool(info["accepted"])
            assert float(info["step_norm"]) == 0.0
            assert float(state.loss_initial) == float(info["loss"])
        losses.append(float(info["loss"]))
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < losses[0]


def test_lanes_give_the_same_fits_one_by_one_and_together():
    runs = 32
    problems = decay.build_many(DecayOptions(), {"data_seed": np.arange(runs)})
    engine = Trf()

    def one(data, sigma):
        goal = target(eqx.tree_at(lambda p: (p.data, p.sigma), problems, (data, sigma)))
        state = engine.init(goal, jax.random.key(0))
        state = jax.lax.while_loop(lambda s: engine.outcome(s) == 0, lambda s: engine.step(goal, s)[0], state)
        return engine.finish(goal, state)

    serial = compiled(lambda d, s: jax.lax.map(lambda x: one(*x), (d, s)))(problems.data, problems.sigma)
    together = compiled(jax.vmap(one))(problems.data, problems.sigma)
    np.testing.assert_allclose(serial.theta, together.theta, rtol=1e-7)
    np.testing.assert_allclose(serial.stderr, together.stderr, rtol=1e-7)
    truth = np.array([2.0, 0.8, 0.5, 0.02])
    pulls = (np.asarray(serial.theta) - truth) / np.asarray(serial.stderr)
    assert 0.75 < np.std(pulls) < 1.25  # 32 × 4 normal deviates, correlated within a run
