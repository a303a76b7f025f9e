"""The Jacobian engine against closed forms and dense linear algebra; row blocks against the whole."""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from campaign.engines.base import Outcome
from campaign.engines.catalogue import JacobianOptions
from campaign.engines.jacobian import build
from campaign.errors import InvalidValue
from campaign.problem.base import Problem
from campaign.space import Parameter, ThetaSpace
from driving import at_start, drive

SPACE = ThetaSpace(
    (
        Parameter(name="height", initial=2.0),
        Parameter(name="rate", initial=0.5, lower=0.0, transform="log"),
        Parameter(name="offset", initial=1.0),
    )
)
N = 103
TIMES = np.linspace(0.0, 8.0, N)
DATA = 1.0 + 2.0 * np.exp(-0.5 * TIMES) + 0.1 * np.sin(37.0 * TIMES)
SIGMA = 0.1


class Decay(Problem):
    space: ThetaSpace = eqx.field(static=True)
    times: jax.Array
    data: jax.Array

    def _rows(self, theta, times, data):
        return (theta[2] + theta[0] * jnp.exp(-theta[1] * times) - data) / SIGMA

    def residuals(self, theta):
        return self._rows(theta, self.times, self.data)


class DecayByRows(Decay):
    n_residuals: int = eqx.field(static=True, default=N)

    def residual_rows(self, theta, start, size):
        window = [jax.lax.dynamic_slice(v, (start,), (size,)) for v in (self.times, self.data)]
        return self._rows(theta, *window)


class DecayOfUnknownNoise(Decay):
    absolute_sigma: ClassVar[bool] = False


def target(kind=Decay, space=SPACE):
    return at_start(kind(space, jnp.asarray(TIMES), jnp.asarray(DATA)))


def expected():
    """Closed form of J at (2, ½, 1) in theta, although `rate` moves as its logarithm."""
    decay = np.exp(-0.5 * TIMES)
    return np.stack([decay, -2.0 * TIMES * decay, np.ones(N)], axis=1) / SIGMA


def joined(trace, name):
    return trace[name].reshape(-1, *trace[name].shape[2:])


def check(trace, result, factor=1.0):
    jacobian = expected()
    residuals = (1.0 + 2.0 * np.exp(-0.5 * TIMES) - DATA) / SIGMA
    np.testing.assert_allclose(joined(trace, "jacobian")[:N], jacobian, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(joined(trace, "residuals")[:N], residuals, rtol=1e-12, atol=1e-12)
    covariance = np.linalg.inv(jacobian.T @ jacobian) * factor
    np.testing.assert_allclose(result.arrays["fisher"], jacobian.T @ jacobian, rtol=1e-12)
    np.testing.assert_allclose(result.arrays["covariance"], covariance, rtol=1e-10)
    np.testing.assert_allclose(result.stderr, np.sqrt(np.diagonal(covariance)), rtol=1e-10)
    assert float(result.loss) == pytest.approx(0.5 * residuals @ residuals, rel=1e-12)
    unit = jacobian / np.linalg.norm(jacobian, axis=0)
    frobenius = np.linalg.norm(unit) * np.linalg.norm(np.linalg.pinv(unit))
    assert float(result.metrics["condition"]) == pytest.approx(frobenius, rel=1e-10)
    assert int(result.metrics["n_data"]) == N
    assert int(result.metrics["n_free"]) == 3


def test_in_one_block():
    engine = build(JacobianOptions())
    state, trace, result = drive(engine, target(), jax.random.key(0))
    assert trace["jacobian"].shape == (1, N, 3)
    check(trace, result)
    assert int(engine.outcome(state)) == Outcome.CONVERGED


@pytest.mark.parametrize("chunk", [1, 10, 103, 64, 1000])
def test_in_row_blocks(chunk):
    engine = build(JacobianOptions(chunk=chunk))
    ours = target(DecayByRows)
    assert ours.n_residuals == N == engine.fields(ours)["jacobian"].joined
    state, trace, result = drive(engine, ours, jax.random.key(0))
    blocks = -(-N // chunk)
    assert trace["jacobian"].shape == (blocks, min(chunk, N), 3)
    assert np.all(np.isnan(joined(trace, "jacobian")[N:]))
    assert np.all(np.isnan(joined(trace, "residuals")[N:]))
    check(trace, result)
    assert int(engine.outcome(state)) == Outcome.CONVERGED


def test_running_until_the_last_block():
    engine = build(JacobianOptions(chunk=60))
    ours = target(DecayByRows)
    state = engine.init(ours, jax.random.key(0))
    assert int(engine.outcome(state)) == Outcome.RUNNING
    state, info = engine.step(ours, state)
    assert int(engine.outcome(state)) == Outcome.RUNNING
    assert float(info["loss"]) == pytest.approx(0.5 * np.sum(np.asarray(info["residuals"]) ** 2), rel=1e-12)
    state, _ = engine.step(ours, state)
    assert int(engine.outcome(state)) == Outcome.CONVERGED


def test_unknown_noise_is_taken_from_the_residuals():
    _, trace, result = drive(build(JacobianOptions()), target(DecayOfUnknownNoise), jax.random.key(0))
    check(trace, result, factor=2.0 * float(result.loss) / (N - 3))


def test_only_free_parameters():
    _, trace, result = drive(
        build(JacobianOptions(chunk=50)), target(DecayByRows, SPACE.with_free(["offset"])), jax.random.key(0)
    )
    np.testing.assert_allclose(joined(trace, "jacobian")[:N], np.full((N, 1), 1 / SIGMA), rtol=1e-12)
    np.testing.assert_allclose(result.stderr, [SIGMA / np.sqrt(N)], rtol=1e-12)


class Sum(Problem):
    """Sees a + b and c, never a − b."""

    space: ThetaSpace = eqx.field(static=True)

    def residuals(self, theta):
        x = jnp.arange(10.0)
        return (theta[0] + theta[1]) * x + theta[2]


def test_what_the_data_do_not_identify():
    problem = Sum(ThetaSpace(tuple(Parameter(name=n, initial=1.0) for n in "abc")))
    state, _, result = drive(build(JacobianOptions()), at_start(problem), jax.random.key(0))
    np.testing.assert_array_equal(result.unidentified, [True, True, False])
    np.testing.assert_array_equal(np.isnan(result.stderr), [True, True, False])
    assert int(build(JacobianOptions()).outcome(state)) == Outcome.CONVERGED


def test_a_residual_that_is_not_a_number():
    engine = build(JacobianOptions())
    bad = at_start(Decay(SPACE, jnp.asarray(TIMES), jnp.asarray(DATA).at[5].set(jnp.nan)))
    state, _, _ = drive(engine, bad, jax.random.key(0))
    assert int(engine.outcome(state)) == Outcome.NONFINITE


def test_runs_side_by_side():
    engine = build(JacobianOptions(chunk=40))
    rates = jnp.array([0.3, 0.5, 0.9])

    def run(rate):
        ours = target(DecayByRows)
        ours = eqx.tree_at(lambda t: t.base, ours, ours.base.at[1].set(rate))
        state = engine.init(ours, jax.random.key(0))
        for _ in range(3):
            state, _ = engine.step(ours, state)
        return engine.finish(ours, state).arrays["fisher"]

    for mapped in (jax.vmap(run)(rates), jax.lax.map(run, rates)):
        jacobian = expected()
        np.testing.assert_allclose(mapped[1], jacobian.T @ jacobian, rtol=1e-11)


class OfProfiledOffset(DecayOfUnknownNoise):
    @property
    def n_profiled(self):
        return 1


def test_a_profiled_parameter_takes_a_degree_of_freedom():
    _, trace, result = drive(build(JacobianOptions()), target(OfProfiledOffset), jax.random.key(0))
    check(trace, result, factor=2.0 * float(result.loss) / (N - 4))


class Dependent(Problem):
    """Columns that depend on each other but for rounding."""

    space: ThetaSpace = eqx.field(static=True)
    kind: str = eqx.field(static=True)
    x: jax.Array

    n_residuals = property(lambda self: self.x.size)

    def residual_rows(self, theta, start, size):
        x = jax.lax.dynamic_slice(self.x, (start,), (size,))
        if self.kind == "sum":
            return (theta[0] + theta[1]) * jnp.sin(x) + theta[2] * x
        return (theta[0] + 2 * theta[1] - theta[2] / 3) * jnp.tanh(x) + (theta[0] - theta[1]) * x**2

    def residuals(self, theta):
        return self.residual_rows(theta, 0, self.x.size)


@pytest.mark.parametrize(("kind", "n", "named"), [("sum", 10**6, [1, 1, 0]), ("mixed", 1000, [1, 1, 1])])
def test_the_rank_is_seen_whatever_the_number_of_rows(kind, n, named):
    problem = Dependent(
        ThetaSpace(tuple(Parameter(name=k, initial=1.0) for k in "abc")), kind, jnp.linspace(0.01, 7, n)
    )
    engine = build(JacobianOptions())
    goal = at_start(problem)
    state = jax.jit(lambda k: engine.init(goal, k))(jax.random.key(0))
    step = jax.jit(lambda s: engine.step(goal, s)[0])
    for _ in range(engine.n_steps(goal)):
        state = step(state)
    np.testing.assert_array_equal(engine.finish(goal, state).unidentified, np.array(named, bool))


def test_parameters_whose_derivatives_are_not_numbers_are_named():
    @jax.custom_jvp
    def kinked(value):
        return value

    @kinked.defjvp
    def _(primals, tangents):
        return primals[0], jnp.where(tangents[0] == 0, 0.0, jnp.nan)

    class Kinked(Problem):
        space: ThetaSpace = eqx.field(static=True)

        def residuals(self, theta):
            return theta[0] * jnp.arange(1.0, 6.0) + kinked(theta[1])

    problem = Kinked(ThetaSpace((Parameter(name="a", initial=1.0), Parameter(name="b", initial=1.0))))
    state, _, result = drive(build(JacobianOptions()), at_start(problem), jax.random.key(0))
    assert int(build(JacobianOptions()).outcome(state)) == Outcome.NONFINITE
    np.testing.assert_array_equal(result.unidentified, [False, True])
    assert np.all(np.isnan(result.stderr))


class NoData(Problem):
    space: ThetaSpace = eqx.field(static=True)


def test_a_problem_without_residuals_is_refused():
    with pytest.raises(InvalidValue, match="`jacobian` needs residuals, and `NoData` has none"):
        build(JacobianOptions()).init(at_start(NoData(SPACE)), jax.random.key(0))
