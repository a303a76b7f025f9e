"""`nested` against closed forms, quadrature, and the weights that blackjax makes of the same points."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from blackjax.ns.base import NSInfo, StateWithLogLikelihood
from blackjax.ns.utils import log_weights
from scipy import stats
from scipy.special import logsumexp

from campaign.engines.base import Outcome
from campaign.engines.batch import Batch, Work
from campaign.engines.catalogue_evidence import NestedOptions
from campaign.engines.compiled import compile_program
from campaign.engines.loop import Finished, Stopped, run_lanes
from campaign.engines.nested import build, live_points
from campaign.errors import InvalidValue
from campaign.problem.base import Problem
from campaign.space import Parameter, ThetaSpace
from campaign.space.priors import Prior, bounded
from driving import Gaussian, Notes, at_start
from programs import compiled, ended, whole_run

HALF = 5.0  # of the side of the box


def gaussian(x):
    return -0.5 * (x @ x - 1.2 * x[0] * x[1] + 0.2 * x[0] ** 2)


def banana(x):
    return -0.5 * (x[0] ** 2 + ((x[1] - 0.5 * x[0] ** 2 + 1.0) / 0.4) ** 2 + x[2:] @ x[2:])


def corner(x):
    return gaussian(1.5 * (x - HALF))


def two_modes(x):
    narrow = jnp.log(3.0) - 0.5 * jnp.sum((x - 2.5) ** 2) / 0.3**2
    return jnp.logaddexp(narrow, -0.5 * jnp.sum((x + 2.5) ** 2) / 0.6**2)


def flat(x):
    return -2.5 + 0.0 * x[0]


def never(x):
    return jnp.nan * x[0]


def partly(x):
    return jnp.where(x[0] < 1.0, jnp.nan, gaussian(x))


def capped(x):
    return jnp.minimum(gaussian(x), -1.0)


SHAPES = (gaussian, banana, corner, two_modes, flat, never, partly, capped)


class Box(Problem):
    """One of `SHAPES` in a box with a flat prior."""

    space: ThetaSpace = eqx.field(static=True)
    kind: jax.Array

    def log_likelihood(self, theta):
        return jax.lax.switch(self.kind, SHAPES, theta)


def box(d):
    return Box(ThetaSpace(tuple(Parameter(name=f"x{i}", initial=1.5, lower=-HALF, upper=HALF) for i in range(d))), 0)


def by_grid(shape, d, n):
    """ln Z, mean and standard deviation by the midpoint rule."""
    edges = np.linspace(-HALF, HALF, n + 1)
    middle = 0.5 * (edges[1:] + edges[:-1])
    points = np.stack(np.meshgrid(*[middle] * d, indexing="ij"), axis=-1).reshape(-1, d)
    height = np.nan_to_num(np.asarray(jax.jit(jax.vmap(shape))(points)), nan=-np.inf)
    weight = np.exp(height - height.max())
    mean = weight @ points / weight.sum()
    sd = np.sqrt(weight @ (points - mean) ** 2 / weight.sum())
    return logsumexp(height) - d * np.log(n), mean, sd


class Runs(NamedTuple):
    batch: Batch
    program: object
    notes: Notes
    found: Finished


@pytest.fixture(scope="module")
def runs() -> Runs:
    """All shapes in the plane, as the lanes of one program."""
    n = len(SHAPES)
    engine = build(NestedOptions(n_live=400, max_steps=200))
    work = Work(engine, at_start(box(2)))
    shared = jax.tree.map(lambda _: False, work)
    is_batched = eqx.tree_at(lambda w: w.target.problem.kind, shared, True)
    own = eqx.tree_at(lambda w: w.target.problem.kind, work, np.arange(n))
    words = np.random.default_rng(3).integers(0, 2**32, (n, 4), dtype=np.uint32)
    batch = Batch(jax.tree.map(np.asarray, own), is_batched, words, 5)
    program, notes = compile_program(batch, lanes=1), Notes()
    return Runs(batch, program, notes, run_lanes(program, batch, np.ones(n, bool), notes))


def traced(runs, shape, field):
    """A field of one run over its steps."""
    lane = SHAPES.index(shape)
    return np.concatenate([chunk[field] for _, chunk in runs.notes.chunks], axis=1)[lane, : runs.found.n_steps[lane]]


@pytest.mark.parametrize("shape", [gaussian, banana, corner, two_modes, partly, capped])
def test_evidence_and_moments_are_those_of_quadrature(runs, shape):
    lane = SHAPES.index(shape)
    result, metrics = runs.found.result, {k: v[lane] for k, v in runs.found.result.metrics.items()}
    log_evidence, mean, sd = by_grid(shape, 2, 1000)
    assert runs.found.outcome[lane] == (Outcome.STALLED if shape is capped else Outcome.CONVERGED)
    assert 0.03 < metrics["log_evidence_stderr"] < 0.13
    assert abs(metrics["log_evidence"] - log_evidence) < 3 * metrics["log_evidence_stderr"]
    assert metrics["stuck_moves"] < (0.2 if shape is capped else 1e-3)  # nothing is above a plateau
    if shape is not two_modes:  # the weights of modes are as uncertain as the evidence
        np.testing.assert_allclose(result.theta[lane], mean, atol=5 * np.max(sd) / np.sqrt(metrics["n_effective"]))
        np.testing.assert_allclose(result.stderr[lane], sd, rtol=0.1)
    np.testing.assert_allclose(np.sqrt(np.diag(result.arrays["covariance"][lane])), result.stderr[lane], rtol=1e-12)
    draws = result.arrays["draws"][lane]
    np.testing.assert_allclose(draws.mean(axis=0), result.theta[lane], atol=5 * np.max(sd) / np.sqrt(len(draws)))
    np.testing.assert_allclose(draws.std(axis=0), result.stderr[lane], rtol=0.15)


def test_both_modes_have_their_weights(runs):
    lane = SHAPES.index(two_modes)
    fraction = np.mean(runs.found.result.arrays["draws"][lane][:, 0] > 0)
    assert abs(fraction - 3 * 0.3**2 / (3 * 0.3**2 + 0.6**2)) < 0.18  # its scatter over seeds is 0.054


def test_information_is_that_of_a_gaussian(runs):
    """H = −d/2 − ln Z for a likelihood whose highest value is 1."""
    metrics = {k: v[0] for k, v in runs.found.result.metrics.items()}
    assert abs(metrics["information"] - (-1.0 - by_grid(gaussian, 2, 500)[0])) < 3 * metrics["log_evidence_stderr"]


def test_weights_are_those_of_blackjax(runs):
    """Its simulated shrinkages of the same dead and live points, and its effective sample size."""
    arrays = {k: v[0] for k, v in runs.found.result.arrays.items()}
    metrics = {k: v[0] for k, v in runs.found.result.metrics.items()}
    dead = {name: traced(runs, gaussian, name) for name in ("theta", "log_likelihood", "log_likelihood_birth")}
    theta = np.concatenate([dead["theta"].reshape(-1, 2), arrays["live"]])
    height = np.concatenate([dead["log_likelihood"].ravel(), arrays["live_log_likelihood"]])
    birth = np.concatenate([dead["log_likelihood_birth"].ravel(), arrays["live_log_likelihood_birth"]])
    points = StateWithLogLikelihood(*(jnp.asarray(x) for x in (theta, np.zeros_like(height), height, birth)))
    simulated = np.asarray(log_weights(jax.random.key(0), NSInfo(points, None), 400))
    totals = logsumexp(simulated, axis=0)
    assert abs(totals.mean() - metrics["log_evidence"]) < 4 * totals.std() / 20 + 0.005
    assert totals.std() == pytest.approx(metrics["log_evidence_stderr"], rel=0.2)
    weight = np.concatenate([traced(runs, gaussian, "log_weight").ravel(), arrays["live_log_weight"]])
    assert logsumexp(weight) == pytest.approx(metrics["log_evidence"], abs=1e-9)
    assert np.exp(2 * logsumexp(weight) - logsumexp(2 * weight)) == pytest.approx(metrics["n_effective"], rel=1e-9)
    np.testing.assert_allclose(np.exp(weight - logsumexp(weight)) @ theta, runs.found.result.theta[0], atol=1e-9)


def test_each_point_is_born_below_where_it_dies(runs):
    birth, death = traced(runs, banana, "log_likelihood_birth"), traced(runs, banana, "log_likelihood")
    assert (np.diff(death.ravel()) >= 0).all()
    assert (np.isnan(birth) | (birth < death)).all()
    np.testing.assert_array_equal(traced(runs, banana, "loss"), -death.max(axis=1))
    assert (np.diff(traced(runs, banana, "log_evidence")) > 0).all()


def test_what_cannot_be_climbed_is_said(runs):
    found, engine = runs.found, runs.batch.work.engine
    notes = engine.notes(found.result.metrics)
    lane = SHAPES.index(flat)
    assert found.outcome[lane] == Outcome.STALLED
    assert found.n_steps[lane] == 0
    assert found.result.metrics["log_evidence"][lane] == pytest.approx(-2.5, abs=1e-12)
    assert "the same likelihood" in notes[lane]
    assert found.outcome[SHAPES.index(never)] == Outcome.NONFINITE
    assert "no point of the prior" in notes[SHAPES.index(never)]
    assert "at 6" in notes[SHAPES.index(partly)]  # 60 % of the first points
    assert notes[0] == ""


def test_a_run_that_was_stopped_goes_on_bit_for_bit(runs):
    valid, before, after = np.ones(len(SHAPES), bool), Notes(stop_at=3), Notes()
    with pytest.raises(Stopped):
        run_lanes(runs.program, runs.batch, valid, before)
    again = run_lanes(runs.program, runs.batch, valid, after, (before.leaves, 3))
    for one, other in zip(jax.tree.leaves(again), jax.tree.leaves(runs.found), strict=True):
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other))


def test_a_used_up_budget_is_said(runs):
    """After ten steps the live points hold most of the evidence, with an error that says so."""
    engine, before = runs.batch.work.engine, Notes(stop_at=1)
    with pytest.raises(Stopped):
        run_lanes(runs.program, runs.batch, np.ones(len(SHAPES), bool), before)
    lanes = jax.tree.unflatten(jax.tree.structure(runs.found.lanes), [jnp.asarray(leaf) for leaf in before.leaves])
    result, _ = runs.program.finish(jax.device_put(runs.batch.work), lanes)
    metrics = {name: np.asarray(value) for name, value in result.metrics.items()}
    assert engine.at_budget() == Outcome.BUDGET
    assert lanes.outcome[0] == Outcome.RUNNING
    assert metrics["live_fraction"][0] > 0.5
    assert "of the last live points" in engine.notes(metrics)[0]
    away = metrics["log_evidence"][0] - by_grid(gaussian, 2, 500)[0]
    assert abs(away) < 3 * metrics["log_evidence_stderr"][0]


class Measured(Problem):
    """x0 measured as 1 ± 0.5, ln x1 as 0.3 ± 0.2, both with priors of their own."""

    space: ThetaSpace = eqx.field(static=True)

    def residuals(self, theta):
        return jnp.stack([(theta[0] - 1.0) / 0.5, (jnp.log(theta[1]) - 0.3) / 0.2])


def test_priors_are_normalised_between_bounds():
    """A normal prior cut at 0, and a log-normal one behind a log transform: products of Gaussians."""
    first = Parameter(name="x0", initial=0.5, lower=0.0, prior=Prior("normal", (-0.5, 1.0)))
    second = Parameter(name="x1", initial=1.0, lower=0.0, prior=Prior("log_normal", (0.0, 1.5)), transform="log")
    found = ended(build(NestedOptions()), at_start(Measured(ThetaSpace((first, second)))), jax.random.key(2))

    def product(mean, sd, measured, error):
        variance = 1.0 / (1.0 / sd**2 + 1.0 / error**2)
        height = stats.norm.logpdf(measured, mean, np.hypot(sd, error)) + 0.5 * np.log(2 * np.pi * error**2)
        return height, variance * (mean / sd**2 + measured / error**2), np.sqrt(variance)

    height, mean, sd = product(-0.5, 1.0, 1.0, 0.5)
    exact = height + stats.norm.logsf(-mean / sd) - stats.norm.logsf(0.5)
    cut = stats.truncnorm(-mean / sd, np.inf, mean, sd)
    height, mean, sd = product(0.0, 1.5, 0.3, 0.2)
    other = stats.lognorm(sd, scale=np.exp(mean))
    metrics = found.result.metrics
    assert found.outcome == Outcome.CONVERGED
    assert abs(metrics["log_evidence"] - exact - height) < 3 * metrics["log_evidence_stderr"]
    np.testing.assert_allclose(found.result.theta, [cut.mean(), other.mean()], atol=0.05)
    np.testing.assert_allclose(found.result.stderr, [cut.std(), other.std()], rtol=0.1)


def test_live_points_are_draws_of_the_prior():
    kinds = [
        ({"lower": -1.0, "upper": 3.0}, stats.uniform(-1.0, 4.0)),
        ({"prior": Prior("normal", (0.0, 1.0)), "lower": 0.5}, stats.truncnorm(0.5, np.inf)),
        ({"prior": Prior("gamma", (0.5, 2.0))}, stats.gamma(0.5, scale=0.5)),
        ({"prior": Prior("cauchy", (0.0, 1.0))}, stats.cauchy()),
        ({"prior": Prior("log_uniform", (0.1, 10.0)), "transform": "log", "lower": 0.0}, stats.loguniform(0.1, 10.0)),
        ({"prior": bounded(Prior("beta", (2.0, 5.0)), 0.1, 0.9)}, None),
    ]
    space = ThetaSpace(tuple(Parameter(name=f"x{i}", initial=0.6, **one) for i, (one, _) in enumerate(kinds)))
    target = at_start(Gaussian(space, jnp.eye(len(kinds)), jnp.zeros(len(kinds))))
    n = 20_000
    theta = np.asarray(compiled(lambda key: jax.vmap(target.theta)(live_points(target, n, key)))(jax.random.key(1)))
    assert np.isfinite(theta).all()
    for i, (one, exact) in enumerate(kinds):
        cdf = one["prior"].cdf if exact is None else exact.cdf
        assert stats.kstest(theta[:, i], cdf).pvalue > 0.003, one
    far = np.abs(theta[:, 3]) > stats.cauchy.ppf(1 - 2e-4)  # beyond the last of equal cells
    assert abs(far.sum() - 4e-4 * n) < 4 * np.sqrt(4e-4 * n)


def test_what_has_no_prior_volume_is_refused():
    space = ThetaSpace((Parameter(name="free_one", initial=0.0),))
    with pytest.raises(InvalidValue, match=r"free_one.*no prior and no two finite bounds"):
        ended(build(NestedOptions()), at_start(Gaussian(space, jnp.eye(1), jnp.zeros(1))))
    with pytest.raises(InvalidValue, match="too few for 6"):
        ended(build(NestedOptions(n_live=12)), at_start(box(6)))


def test_five_dimensions():
    exact = 2.5 * np.log(2 * np.pi) - 5 * np.log(2 * HALF)
    space = box(5).space
    found = ended(build(NestedOptions(n_live=300)), at_start(Gaussian(space, jnp.eye(5), jnp.zeros(5))))
    metrics = found.result.metrics
    assert abs(metrics["log_evidence"] - exact) < 3 * metrics["log_evidence_stderr"]
    np.testing.assert_allclose(found.result.theta, np.zeros(5), atol=5 / np.sqrt(metrics["n_effective"]))
    np.testing.assert_allclose(found.result.stderr, np.ones(5), rtol=0.12)


@pytest.mark.long
@pytest.mark.parametrize("d", [2, 5])
def test_errors_are_honest_over_seeds(d):
    """χ² of (ln Z − exact)/error over 20 seeds: its 0.1 % tails."""
    target = at_start(Gaussian(box(d).space, jnp.eye(d), jnp.zeros(d)))
    engine = build(NestedOptions(n_live=200))

    def one(key):
        state, _ = whole_run(engine, target, key)
        return engine.outcome(state), engine.finish(target, state).metrics

    outcome, metrics = compiled(jax.vmap(one))(jax.random.split(jax.random.key(11), 20))
    exact = 0.5 * d * np.log(2 * np.pi) - d * np.log(2 * HALF)
    away = (np.asarray(metrics["log_evidence"]) - exact) / np.asarray(metrics["log_evidence_stderr"])
    assert (np.asarray(outcome) == Outcome.CONVERGED).all()
    low, high = stats.chi2.ppf([0.001, 0.999], 20)
    assert low < np.sum(away**2) < high
    assert abs(away.mean()) < 3.3 / np.sqrt(20)


@pytest.mark.long
@pytest.mark.parametrize(("d", "n_grid"), [(2, 1000), (3, 200)])
def test_evidence_to_a_twentieth_by_quadrature(d, n_grid):
    """Means of a few seeds, all shapes and seeds as lanes of one program."""
    shapes, n_seeds = SHAPES[:3], 4
    engine, target = build(NestedOptions(n_live=1000)), at_start(box(d))

    def one(kind, key):
        own = eqx.tree_at(lambda t: t.problem.kind, target, kind)
        return engine.finish(own, whole_run(engine, own, key)[0]).metrics["log_evidence"]

    kinds = jnp.repeat(jnp.arange(len(shapes)), n_seeds)
    found = compiled(jax.vmap(one))(kinds, jax.random.split(jax.random.key(13), len(kinds)))
    exact = [by_grid(shape, d, n_grid)[0] for shape in shapes]
    np.testing.assert_allclose(np.asarray(found).reshape(-1, n_seeds).mean(axis=1), exact, atol=0.05)
