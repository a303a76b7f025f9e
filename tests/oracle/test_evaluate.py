"""Evaluation against the closed form of the model."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import campaign
from campaign.engines.base import Outcome
from campaign.engines.evaluate import Evaluate
from campaign.problem.base import Problem
from campaign.space import Parameter, ThetaSpace
from driving import at_start, drive

SPACE = ThetaSpace(
    (
        Parameter(name="height", initial=2.0),
        Parameter(name="rate", initial=0.5, lower=0.0, transform="log"),
        Parameter(name="offset", initial=1.0, free=False),
    )
)
TIMES = np.linspace(0.0, 4.0, 5)


class Decay(Problem):
    space: ThetaSpace = eqx.field(static=True)

    def predict(self, theta):
        return {
            "level": theta[2] + theta[0] * jnp.exp(-theta[1] * jnp.asarray(TIMES)),
            "half_life": jnp.log(2) / theta[1],
        }


class DecayWithData(Decay):
    observed: jax.Array

    def residuals(self, theta):
        return self.predict(theta)["level"] - self.observed


def test_predictions_without_data():
    engine = Evaluate()
    state, trace, result = drive(engine, at_start(Decay(SPACE), start=[3.0, 0.25, 1.5]), jax.random.key(0))
    np.testing.assert_allclose(result.arrays["level"], 1.5 + 3.0 * np.exp(-0.25 * TIMES), rtol=1e-12)
    np.testing.assert_allclose(result.arrays["half_life"], np.log(2) / 0.25, rtol=1e-12)
    np.testing.assert_allclose(result.theta, [3.0, 0.25], rtol=1e-12)
    assert result.stderr is None
    assert float(result.loss) == 0.0
    assert trace["loss"].shape == (1,)
    assert int(engine.outcome(state)) == Outcome.CONVERGED
    assert int(engine.outcome(engine.init(at_start(Decay(SPACE)), jax.random.key(0)))) == Outcome.RUNNING


def test_loss_with_data():
    observed = 1.0 + 2.0 * np.exp(-0.5 * TIMES) + np.array([0.1, -0.2, 0.3, 0.0, 0.4])
    _, trace, result = drive(Evaluate(), at_start(DecayWithData(SPACE, jnp.asarray(observed))), jax.random.key(0))
    np.testing.assert_allclose([result.loss, result.loss_initial, trace["loss"][0]], 0.5 * 0.30, rtol=1e-12)


def test_a_model_that_gives_nan_is_said_to():
    problem = DecayWithData(SPACE, jnp.full(5, jnp.nan))
    state, _, _ = drive(Evaluate(), at_start(problem), jax.random.key(0))
    assert int(Evaluate().outcome(state)) == Outcome.NONFINITE


def test_many_runs_at_once():
    starts = jnp.array([[1.0, 0.1, 0.0], [2.0, 0.2, 1.0], [3.0, 0.3, 2.0]])

    def run(start):
        target = at_start(Decay(SPACE))
        target = type(target)(target.problem, start, target.scale)
        state, _ = Evaluate().step(target, Evaluate().init(target, jax.random.key(0)))
        return Evaluate().finish(target, state)

    result = jax.jit(jax.vmap(run))(starts)
    expected = [s[2] + s[0] * np.exp(-s[1] * TIMES) for s in np.asarray(starts)]
    np.testing.assert_allclose(result.arrays["level"], expected, rtol=1e-12)


class Root(Problem):
    """√theta and its square: NaN and finite below zero."""

    space: ThetaSpace = eqx.field(static=True)

    def predict(self, theta):
        return {"root": jnp.sqrt(theta[0]) * jnp.ones(3), "square": theta[0] ** 2, "count": jnp.asarray(3)}


def test_a_prediction_that_is_not_a_number_is_named():
    space = ThetaSpace((Parameter(name="x", initial=4.0),))
    good, bad = campaign.fits(Root(space), Evaluate(), [{"x": 9.0}, {"x": -9.0}])
    assert (good.outcome, good.status, good.nonfinite) == ("converged", "ok", [])
    np.testing.assert_array_equal(good.arrays["root"], [3.0, 3.0, 3.0])
    assert (bad.outcome, bad.status, bad.nonfinite) == ("nonfinite", "failed", ["predict.root"])
    assert bad.arrays["square"] == 81.0
