"""The scan engine against likelihoods that can be worked out by hand."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from campaign.engines.base import Outcome
from campaign.engines.catalogue import ScanOptions
from campaign.engines.scan import build, interval
from campaign.errors import InvalidValue, UnknownName
from campaign.problem.base import Problem
from campaign.space import Parameter, ThetaSpace
from driving import at_start, drive

SPACE = ThetaSpace(
    (
        Parameter(name="mean", initial=1.0),
        Parameter(name="width", initial=2.0, lower=0.0, transform="log"),
        Parameter(name="amplitude", initial=3.0),
        Parameter(name="fixed", initial=4.0, free=False),
    )
)


class Bowl(Problem):
    """ln L = −½ (mean − 0.3)²/0.2² − ½ (width − 1.5)²/0.5² − (amplitude − 3)² − (fixed − 4)²; NaN where width > 9."""

    space: ThetaSpace = eqx.field(static=True)

    def log_likelihood(self, theta):
        z = jnp.array([(theta[0] - 0.3) / 0.2, (theta[1] - 1.5) / 0.5])
        value = -0.5 * jnp.sum(z**2) - (theta[2] - 3.0) ** 2 - (theta[3] - 4.0) ** 2
        return jnp.where(theta[1] > 9.0, jnp.nan, value)


def by_hand(mean, width):
    return -0.5 * ((mean - 0.3) / 0.2) ** 2 - 0.5 * ((width - 1.5) / 0.5) ** 2


def joined(trace, name, n):
    return trace[name].reshape(-1, *trace[name].shape[2:])[:n]


@pytest.mark.parametrize("chunk", [1, 4, 15, 100])
def test_grid_of_two_parameters(chunk):
    grid = {"width": [0.5, 1.0, 1.4, 2.0, 10.0], "mean": {"linspace": [-1.0, 1.0, 3]}}
    engine = build(ScanOptions(grid=grid, chunk=chunk))
    target = at_start(Bowl(SPACE))
    state, trace, result = drive(engine, target, jax.random.key(0))
    means, widths = np.meshgrid([-1.0, 0.0, 1.0], [0.5, 1.0, 1.4, 2.0, 10.0], indexing="ij")
    expected = np.where(widths > 9.0, np.nan, by_hand(means, widths))
    found = joined(trace, "log_likelihood", 15)
    np.testing.assert_allclose(found.reshape(engine.shape), expected, rtol=1e-12)
    assert np.all(np.isnan(trace["log_likelihood"].reshape(-1)[15:]))
    theta = np.stack([means.ravel(), widths.ravel(), np.full(15, 3.0)], axis=1)
    np.testing.assert_array_equal(joined(trace, "theta", 15), theta)
    np.testing.assert_array_equal(result.theta, [0.0, 1.4, 3.0])
    assert float(result.loss) == pytest.approx(-by_hand(0.0, 1.4), rel=1e-12)
    assert float(result.loss_initial) == pytest.approx(-by_hand(1.0, 2.0), rel=1e-12)
    assert trace["loss"][-1] == float(result.loss)
    assert result.stderr is None
    assert int(result.metrics["n_points"]) == 15 == engine.fields(target)["theta"].joined
    np.testing.assert_array_equal(result.arrays["grid_mean"], [-1.0, 0.0, 1.0])
    np.testing.assert_array_equal(result.arrays["grid_width"], [0.5, 1.0, 1.4, 2.0, 10.0])
    assert int(engine.outcome(state)) == Outcome.CONVERGED
    assert engine.monitor(1) is None


def test_interval_of_one_parameter():
    """A Gaussian of mean 0.3 and sd 0.2: from 0.1 to 0.5; a straight line between points 0.01 apart is off by 1e-4."""
    engine = build(ScanOptions(grid={"mean": {"linspace": [-1.0, 1.0, 201]}}, chunk=50))
    _, trace, result = drive(engine, at_start(Bowl(SPACE)), jax.random.key(0))
    curve = np.asarray(trace["log_likelihood"])[None]  # (run, step, point)
    for chunk in (1, 2, 5):
        monitor = engine.monitor(1)
        for first in range(0, 5, chunk):
            monitor.take({"log_likelihood": curve[:, first : first + chunk]}, first, first + chunk)
        found = monitor.metrics(np.array([5]))
        assert found["interval_lower"][0] == pytest.approx(0.1, abs=2e-4)
        assert found["interval_upper"][0] == pytest.approx(0.5, abs=2e-4)
    assert float(result.theta[0]) == pytest.approx(0.3, abs=1e-12)


def test_interval_by_straight_lines():
    assert interval(np.array([3.0, 0.0, 1.0, 2.0]), np.array([-4.0, -1.0, 0.0, -0.25])) == (0.5, 2.0 + 0.25 / 3.75)
    lower, upper = interval(np.array([0.0, 1.0, 2.0]), np.array([np.nan, 0.0, -0.1]))
    assert math.isnan(lower)  # the model has no value there
    assert math.isnan(upper)  # the grid ends first
    assert all(math.isnan(v) for v in interval(np.array([0.0, 1.0]), np.array([np.nan, -np.inf])))


def test_no_finite_point():
    engine = build(ScanOptions(grid={"width": [10.0, 11.0]}))
    state, _, _ = drive(engine, at_start(Bowl(SPACE)), jax.random.key(0))
    assert int(engine.outcome(state)) == Outcome.NONFINITE


def test_runs_side_by_side():
    engine = build(ScanOptions(grid={"mean": [0.0, 0.5]}, chunk=2))

    def run(width):
        target = at_start(Bowl(SPACE))
        target = type(target)(target.problem, target.base.at[1].set(width), target.scale)
        return engine.step(target, engine.init(target, jax.random.key(0)))[1]["log_likelihood"]

    widths = jnp.array([0.5, 1.5])
    expected = [[by_hand(m, w) for m in (0.0, 0.5)] for w in (0.5, 1.5)]
    np.testing.assert_allclose(jax.vmap(run)(widths), expected, rtol=1e-12)
    np.testing.assert_allclose(jax.lax.map(run, widths), expected, rtol=1e-12)


def test_what_cannot_be_scanned():
    target = at_start(Bowl(SPACE))
    with pytest.raises(UnknownName, match=r"`widht` .* did you mean `width`"):
        build(ScanOptions(grid={"widht": [1.0]})).init(target, jax.random.key(0))
    with pytest.raises(UnknownName, match=r"`fixed` at `engine.grid` is not a free parameter"):
        build(ScanOptions(grid={"fixed": [1.0]})).init(target, jax.random.key(0))

    with pytest.raises(InvalidValue, match=r"the grid of `width` has -0\.5, out of bounds"):
        build(ScanOptions(grid={"width": {"linspace": [-0.5, 2.0, 6]}})).init(target, jax.random.key(0))
    build(ScanOptions(grid={"width": [0.0, 1.0]})).init(target, jax.random.key(0))  # a bound itself is inside

    class NoData(Problem):
        space: ThetaSpace = eqx.field(static=True)

    with pytest.raises(InvalidValue, match="`scan` needs a likelihood"):
        build(ScanOptions(grid={"mean": [1.0]})).init(at_start(NoData(SPACE)), jax.random.key(0))


@pytest.mark.parametrize(
    "grid",
    [{}, {"a": []}, {"a": [1.0, math.inf]}, {"a": {"linspace": [0, 1, 1]}}, {"a": {"linspace": [0, 1]}}, {"a": 3}],
)
def test_grids_that_make_no_sense(grid):
    with pytest.raises(ValueError, match="validation error"):
        ScanOptions(grid=grid)


def test_options_as_they_stand_in_json():
    options = ScanOptions.model_validate({"grid": {"mean": {"linspace": [0, 1, 5]}, "width": [1, 2.5]}})
    assert options.model_dump(mode="json")["grid"] == {"mean": {"linspace": [0.0, 1.0, 5]}, "width": [1.0, 2.5]}
