"""The ensemble sampler against exact distributions, emcee's published behaviour, and emcee itself."""

import emcee
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from campaign.diagnostics import autocorrelation_time, mixed
from campaign.engines.base import Outcome
from campaign.engines.catalogue import EnsembleOptions
from campaign.engines.ensemble import build
from campaign.fitting import fits
from campaign.problem.base import Problem
from campaign.space import Parameter, ThetaSpace
from campaign.space.priors import Prior
from driving import Gaussian, at_start, drive, equicorrelated, steps


def kept(engine, trace):
    return trace["theta"][engine.burn_in // engine.thin :]


def mean_error(chain):
    """Standard error of the mean of each parameter, by its autocorrelation time."""
    n = chain.shape[0] * chain.shape[1]
    taus = np.array([autocorrelation_time(chain[:, :, i]) for i in range(chain.shape[2])])
    return chain.reshape(n, -1).std(axis=0) * np.sqrt(taus / n), taus


# d: acceptance, mean tau; emcee 3.1.6, correlated Gaussian, 32 walkers, 20,000 steps.
EMCEE = {1: (0.807, 27.0), 2: (0.716, 32.1), 3: (0.647, 39.5), 5: (0.552, 59.0), 10: (0.418, 122.9)}


@pytest.mark.parametrize("d", EMCEE)
def test_gaussian_moments_acceptance_and_tau(d):
    target, covariance = equicorrelated(d)
    engine = build(EnsembleOptions(walkers=32, steps=24000, burn_in=4000))
    _, trace, result = drive(engine, target, jax.random.key(d))
    chain = kept(engine, trace)
    error, taus = mean_error(chain)
    acceptance, tau = EMCEE[d]
    assert float(result.metrics["acceptance"]) == pytest.approx(acceptance, abs=0.01)
    assert taus.mean() == pytest.approx(tau, rel=0.15)
    assert np.all(np.abs(np.asarray(result.theta)) < 4 * error)
    relative = np.linalg.norm(result.arrays["covariance"] - covariance) / np.linalg.norm(covariance)
    assert relative < 4 * np.sqrt(2 * tau * d / (chain.shape[0] * 32))
    np.testing.assert_allclose(result.stderr, 1.0, rtol=4 * np.sqrt(tau / (2 * chain.shape[0] * 32)))


class Banana(Problem):
    """x ~ N(0, 1), y | x ~ N(x², ½): E y = 1, var y = ¼ + 2, cov(x, y) = 0."""

    space: ThetaSpace = eqx.field(static=True)

    def residuals(self, theta):
        return jnp.array([theta[0], (theta[1] - theta[0] ** 2) / 0.5])


def test_banana_moments():
    space = ThetaSpace((Parameter(name="x", initial=0.5, scale=0.5), Parameter(name="y", initial=0.5, scale=0.5)))
    engine = build(EnsembleOptions(walkers=64, steps=40000, burn_in=4000))
    _, trace, result = drive(engine, at_start(Banana(space)), jax.random.key(3))
    chain = kept(engine, trace)
    error, _ = mean_error(chain)
    assert np.all(np.abs(np.asarray(result.theta) - [0.0, 1.0]) < 4 * error)
    second, _ = mean_error(chain**2)  # E x² = 1, E y² = var y + 1 = 3.25
    assert np.all(np.abs((chain**2).mean(axis=(0, 1)) - [1.0, 3.25]) < 4 * second)
    cross, _ = mean_error((chain[:, :, 0] * chain[:, :, 1])[:, :, None])
    assert abs(float(result.arrays["covariance"][0, 1])) < 4 * cross[0]


def test_agrees_with_emcee_on_the_same_target():
    covariance = np.array([[1.0, 0.6, 0.0], [0.6, 2.0, -0.5], [0.0, -0.5, 0.5]])
    mean = np.array([1.0, -2.0, 0.5])
    whiten = np.linalg.inv(np.linalg.cholesky(covariance))
    space = ThetaSpace(tuple(Parameter(name=n, initial=0.0, scale=0.5) for n in "abc"))
    engine = build(EnsembleOptions(walkers=32, steps=6000, burn_in=1000))
    problem = Gaussian(space, jnp.asarray(whiten), jnp.asarray(mean))
    _, trace, result = drive(engine, at_start(problem), jax.random.key(11))

    def log_density(theta):
        residuals = (theta - mean) @ whiten.T
        return -0.5 * np.einsum("ij,ij->i", residuals, residuals)

    peer = emcee.EnsembleSampler(32, 3, log_density, vectorize=True)
    peer._random.seed(5)
    start = peer.run_mcmc(0.5 * np.random.default_rng(5).normal(size=(32, 3)), 1000)
    peer.reset()
    peer.run_mcmc(start, 5000)
    theirs, ours = peer.get_chain(), kept(engine, trace)
    ours_error, ours_tau = mean_error(ours)
    theirs_error, theirs_tau = mean_error(theirs)
    assert np.all(np.abs(ours.mean((0, 1)) - theirs.mean((0, 1))) < 4 * np.hypot(ours_error, theirs_error))
    spread_error = np.sqrt((ours_tau + theirs_tau) / (2 * 5000 * 32))  # of the ratio of two standard deviations
    assert np.all(np.abs(ours.std((0, 1)) / theirs.std((0, 1)) - 1.0) < 4 * spread_error)
    assert float(result.metrics["acceptance"]) == pytest.approx(peer.acceptance_fraction.mean(), abs=0.01)
    np.testing.assert_allclose(ours_tau, emcee.autocorr.integrated_time(ours), rtol=1e-10)


def test_exact_samples_stay_exact():
    """3,000 ensembles of exact draws, 15 updates each: still exact draws. A wrong power of z fails by p < 1e-20."""
    target, covariance = equicorrelated(3, rho=0.3)
    engine = build(EnsembleOptions(walkers=8, steps=15, burn_in=0))
    exact = np.random.default_rng(1).multivariate_normal(np.zeros(3), covariance, size=(3000, 8))

    def one(key, u):
        state = engine.init(target, key)
        log_density = jax.vmap(target.log_posterior_u)(u)
        state = state._replace(u=u, log_density=log_density)
        state, _ = jax.lax.scan(lambda s, _: engine.step(target, s), state, length=15)
        return state.u

    end = np.asarray(jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(2), 3000), jnp.asarray(exact)))
    assert np.mean(np.any(end != exact, axis=2)) > 0.95
    for walker in (0, 5):
        whitened = end[:, walker] @ np.linalg.inv(np.linalg.cholesky(covariance)).T
        for i in range(3):
            assert stats.kstest(whitened[:, i], "norm").pvalue > 0.01
        assert stats.kstest(np.sum(whitened**2, axis=1), "chi2", args=(3,)).pvalue > 0.01


class PriorOnly(Problem):
    space: ThetaSpace = eqx.field(static=True)

    def log_likelihood(self, theta):
        return jnp.zeros(())


@pytest.mark.parametrize("start", ["ball", "prior"])
def test_transformed_parameters_keep_their_prior(start):
    priors = (Prior("log_normal", (0.5, 0.8)), Prior("beta", (2.0, 0.7)), Prior("gamma", (1.5, 2.0)))
    space = ThetaSpace(
        (
            Parameter(name="size", initial=1.0, lower=0.0, prior=priors[0], transform="log"),
            Parameter(name="share", initial=0.5, lower=0.0, upper=1.0, prior=priors[1], transform="logit"),
            Parameter(name="rate", initial=1.0, lower=0.0, prior=priors[2]),
        )
    )
    engine = build(EnsembleOptions(walkers=16, steps=120000, thin=200, burn_in=2000, init=start))
    _, trace, result = drive(engine, at_start(PriorOnly(space)), jax.random.key(4))
    chain = kept(engine, trace)
    for i, prior in enumerate(priors):
        assert stats.kstest(chain[:, :, i].ravel(), prior.cdf).pvalue > 0.01, space.names[i]
    density = sum(p.ln_pdf(chain[-1, :, i]) for i, p in enumerate(priors))
    np.testing.assert_allclose(trace["log_prob"][-1], density, rtol=1e-10)  # a density in theta, not in u
    assert float(result.metrics["log_prob_max"]) == trace["log_prob"].max()


def test_result_is_the_recorded_chain():
    target, _ = equicorrelated(3)
    engine = build(EnsembleOptions(walkers=10, steps=300, burn_in=0.5, thin=3))
    _, trace, result = drive(engine, target, jax.random.key(0))
    samples = kept(engine, trace).reshape(-1, 3)
    assert samples.shape == (50 * 10, 3)
    np.testing.assert_allclose(result.theta, samples.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(result.arrays["covariance"], np.cov(samples.T), rtol=1e-12)
    np.testing.assert_allclose(result.stderr, samples.std(axis=0, ddof=1), rtol=1e-12)
    best = np.unravel_index(np.argmax(trace["log_prob"]), trace["log_prob"].shape)
    np.testing.assert_array_equal(result.arrays["theta_best"], trace["theta"][best])
    residuals = np.asarray(target.problem.whiten) @ np.asarray(result.theta)
    assert float(result.loss) == pytest.approx(0.5 * residuals @ residuals, rel=1e-12)
    np.testing.assert_allclose(trace["accepted"].mean(), result.metrics["acceptance"], rtol=1e-12)
    np.testing.assert_allclose(trace["loss"], -trace["log_prob"].mean(axis=1), rtol=1e-12)
    assert int(result.n_evaluations) == 10 * 301 + 2


def test_resume_from_saved_arrays_is_bit_for_bit(tmp_path):
    target, _ = equicorrelated(3)
    engine = build(EnsembleOptions(walkers=12, steps=200))
    start = engine.init(target, jax.random.key(7))
    whole, trace = steps(engine, target, start, 200)
    part, _ = steps(engine, target, start, 120)
    np.savez(tmp_path / "state.npz", *jax.tree.leaves(part))
    with np.load(tmp_path / "state.npz") as saved:
        leaves = [jnp.asarray(saved[f"arr_{i}"]) for i in range(len(saved.files))]
    resumed, tail = steps(engine, target, jax.tree.unflatten(jax.tree.structure(part), leaves), 80)
    for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(resumed), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(trace["theta"][120:], tail["theta"])


def test_thinning_records_the_same_path():
    target, _ = equicorrelated(2)
    _, every, _ = drive(build(EnsembleOptions(walkers=8, steps=100)), target, jax.random.key(1))
    _, tenth, _ = drive(build(EnsembleOptions(walkers=8, steps=100, thin=10)), target, jax.random.key(1))
    np.testing.assert_allclose(tenth["theta"], every["theta"][9::10], rtol=1e-12, atol=1e-12)


def test_runs_side_by_side_are_runs_alone():
    target, _ = equicorrelated(2)
    engine = build(EnsembleOptions(walkers=8, steps=50))
    keys = jax.random.split(jax.random.key(9), 3)

    def run(key):
        return jax.lax.scan(lambda s, _: engine.step(target, s), engine.init(target, key), length=50)[1]["theta"]

    alone = np.stack([jax.jit(run)(key) for key in keys])
    np.testing.assert_allclose(jax.jit(jax.vmap(run))(keys), alone, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(
        jax.jit(lambda k: jax.lax.map(run, k, batch_size=2))(keys), alone, rtol=1e-10, atol=1e-10
    )
    assert not np.allclose(alone[0], alone[1])


def judged(engine, trace, chunk=100):
    """What the engine's monitor says of one run's trace, handed over in chunks."""
    monitor = engine.monitor(1)
    theta = np.asarray(trace["theta"])[None]
    for first in range(0, theta.shape[1], chunk):
        last = min(first + chunk, theta.shape[1])
        part = np.full((1, chunk, *theta.shape[2:]), np.nan)
        part[:, : last - first] = theta[:, first:last]
        monitor.take({"theta": part}, first, last)
    return monitor.metrics(np.array([theta.shape[1]]))


def test_the_monitor_says_whether_the_walkers_mixed():
    target, _ = equicorrelated(2)
    long = build(EnsembleOptions(walkers=16, steps=8000, thin=2))
    _, trace, _ = drive(long, target, jax.random.key(0))
    metrics = judged(long, trace)
    assert metrics["rhat_max"] < 1.03
    assert metrics["tau_max"] == pytest.approx(32.1, rel=0.3)  # in updates although every second is recorded
    assert metrics["chain_taus"] == pytest.approx(6000 / metrics["tau_max"], rel=1e-12)
    assert metrics["n_effective"] == pytest.approx(3000 * 16 / (metrics["tau_max"] / 2), rel=1e-12)
    assert 0.5 < metrics["ess_bulk_min"] / metrics["n_effective"] < 2.0
    assert long.remarks(metrics) == [""]
    for chunk in (7, 1000, 4000):
        for name, value in judged(long, trace, chunk).items():
            assert value == metrics[name], name

    short = build(EnsembleOptions(walkers=16, steps=100))
    _, trace, _ = drive(short, target, jax.random.key(0))
    (remark,) = short.remarks(judged(short, trace))
    assert "R-hat" in remark
    assert "raise `engine.steps`" in remark


def test_a_chain_longer_than_the_monitor_keeps_is_judged_on_the_safe_side():
    """Twice as many snapshots as are kept: the same verdict as on the whole chain, and never more draws than it has."""
    target, _ = equicorrelated(2)
    engine = build(EnsembleOptions(walkers=64, steps=6000))
    _, trace, _ = drive(engine, target, jax.random.key(1))
    metrics = judged(engine, trace)
    kept = np.asarray(trace["theta"])[1500:]
    whole = [mixed(kept[:, :, j]) for j in range(2)]
    assert metrics["rhat_max"] == pytest.approx(max(m.rhat for m in whole), abs=0.01)
    assert metrics["tau_max"] == pytest.approx(max(m.tau for m in whole), rel=0.2)
    assert metrics["ess_bulk_min"] <= 1.1 * min(m.ess_bulk for m in whole)
    assert metrics["ess_bulk_min"] > 0.5 * min(m.ess_bulk for m in whole)


def test_outcomes():
    target, _ = equicorrelated(2)
    engine = build(EnsembleOptions(walkers=8, steps=10))
    state, _, _ = drive(engine, target, jax.random.key(0))
    assert int(engine.outcome(state)) == Outcome.RUNNING
    assert engine.at_budget() == Outcome.CONVERGED
    nowhere = at_start(Gaussian(target.problem.space, jnp.full((2, 2), jnp.nan), jnp.zeros(2)))
    assert int(engine.outcome(engine.init(nowhere, jax.random.key(0)))) == Outcome.NONFINITE


def test_every_walker_meets_every_other():
    """With fixed halves a first half at x and a second at 0 could only move to z x, z between ½ and 2."""
    space = ThetaSpace((Parameter(name="x", initial=0.0, scale=1.0),))
    target = at_start(PriorOnly(space))
    engine = build(EnsembleOptions(walkers=8, steps=10, burn_in=0))
    start = jnp.array([1.0, 1e2, 1e4, 1e6, 0.0, 0.0, 0.0, 0.0])[:, None]

    def ratio(key):
        state = engine.init(target, key)._replace(u=start, log_density=jnp.zeros(8))
        return (engine.step(target, state)[0].u / start)[:4, 0]

    ratios = np.asarray(jax.vmap(ratio)(jax.random.split(jax.random.key(0), 50)))
    far = (np.abs(ratios) > 2.0) | (ratios < 0.5)
    assert np.all(far[:, :3].mean(axis=0) > 0.1)  # the largest has no larger one to move towards


class Hole(Problem):
    """A standard normal with an infinite density above 1."""

    space: ThetaSpace = eqx.field(static=True)

    def log_likelihood(self, theta):
        return jnp.where(theta[0] > 1.0, jnp.inf, -0.5 * theta[0] ** 2)


def test_an_infinite_density_is_no_place_to_be():
    space = ThetaSpace((Parameter(name="x", initial=0.0, scale=0.5),))
    engine = build(EnsembleOptions(walkers=8, steps=4000))
    _, trace, result = drive(engine, at_start(Hole(space)), jax.random.key(0))
    assert trace["theta"].max() <= 1.0
    expected = stats.truncnorm(-np.inf, 1.0)
    assert float(result.theta[0]) == pytest.approx(expected.mean(), abs=0.06)
    assert float(result.stderr[0]) == pytest.approx(expected.std(), abs=0.06)


def test_failures_of_the_model_are_counted_by_reason_and_none_is_stored():
    """The model itself notes each value that it gives; outside of the prior it is asked at the start, for 0."""
    seen = []

    class Fails(Problem):
        """NaN in 30 % of the prior, −∞ in 10 %."""

        space: ThetaSpace = eqx.field(static=True)

        def log_likelihood(self, theta):
            x = theta[0]
            value = jnp.where(x < 0.3, jnp.nan, jnp.where(x > 0.9, -jnp.inf, -(((x - 0.5) / 0.4) ** 2)))
            jax.debug.callback(lambda one: seen.append(float(one)), value)
            return value

    space = ThetaSpace((Parameter(name="x", initial=0.5, prior=Prior("uniform", (0.0, 1.0))),))
    target, engine = at_start(Fails(space)), build(EnsembleOptions(walkers=8, steps=150, init="prior"))
    state = jax.jit(lambda key: engine.init(target, key))(jax.random.key(3))
    jax.effects_barrier()
    seen.clear()
    state, trace = jax.jit(lambda s: jax.lax.scan(lambda own, _: engine.step(target, own), s, length=150))(state)
    jax.effects_barrier()
    values = np.array(seen)
    metrics = engine.finish(target, state).metrics
    assert len(values) == metrics["n_proposals"] == 8 * 150
    assert metrics["rejected_outside"] == np.sum(values == 0.0) > 0
    assert metrics["rejected_nan"] == np.sum(np.isnan(values)) > 0
    assert metrics["rejected_infinite"] == np.sum(values == -np.inf) > 0
    assert np.isfinite(trace["log_prob"]).all()
    assert trace["theta"].min() > 0.3
    assert trace["theta"].max() < 0.9
    (note,) = engine.notes({name: np.atleast_1d(np.asarray(value, float)) for name, value in metrics.items()})
    failed = (metrics["rejected_nan"] + metrics["rejected_infinite"]) / (1200 - metrics["rejected_outside"])
    assert f"the model failed at {failed:.0%} of the proposals inside the prior" in note


@pytest.mark.long
def test_at_most_one_false_alarm_in_twenty():
    """Gaussians that are sampled for ninety autocorrelation times, five starts of each dimension."""
    alarms = []
    for d in (1, 2, 5, 10):
        target, _ = equicorrelated(d)
        starts = [{"x0": 0.01 * k} for k in range(5)]
        options = {"walkers": 20, "steps": int(90 * EMCEE[d][1]), "burn_in": 0.1}
        found = fits(target.problem, "ensemble", starts, engine_options=options, seed=d)
        alarms += [one.message for one in found if one.message]
    assert len(alarms) <= 1, alarms
