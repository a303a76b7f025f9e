"""Samplers and estimators: the document's pieces, any likelihood, plain Python, what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from campaign.science import InvalidValue, UnknownName
from campaign_climate import (
    Bound,
    ClimateWarning,
    EnsembleSampler,
    GaussianLikelihood,
    ModelBuilder,
    ModelRunner,
    Normal,
    Optimizer,
    ParameterSet,
    PointEstimator,
    Target,
    TwoLayerComponent,
    Uniform,
    WalkerInit,
    calibration,
)
from campaign_climate.api.calibration import CompiledFit, LeastSquaresFit

X = np.arange(5.0)
TRUE = {"slope": 1.5, "offset": -0.5}
Y = TRUE["slope"] * X + TRUE["offset"] + np.array([0.03, -0.05, 0.01, 0.06, -0.04])
SIGMA = 0.1


def traced(params):
    return {"y": (X, params["slope"] * X + params["offset"])}


def plain(params):
    slope, offset = float(params["slope"]), float(params["offset"])
    if slope < 0:
        raise RuntimeError("downhill")
    return {"y": {x: slope * x + offset for x in X}}


def parameters():
    return ParameterSet({"slope": Normal(0.0, 2.0), "offset": Normal(0.0, 2.0)})


def target():
    return Target().add_variable("y", X, Y, SIGMA)


def exact_posterior():
    """Mean and covariance of the linear model with normal priors."""
    A = np.column_stack([X, np.ones(5)])
    covariance = np.linalg.inv(A.T @ A / SIGMA**2 + np.eye(2) / 4.0)
    return covariance @ (A.T @ Y) / SIGMA**2, covariance


def test_posterior_of_a_straight_line():
    sampler = EnsembleSampler(parameters(), target(), ModelRunner(traced, ["y"]), GaussianLikelihood(), seed=4)
    samples = sampler.run(sampler.initialize("prior"), n_steps=6000, thin=2)
    assert samples.samples.shape == (3000, 32, 2)
    flat = samples.flat_samples(discard=1000)
    assert flat.shape == (2500 * 32, 2)
    mean, covariance = exact_posterior()
    error = np.sqrt(np.diag(covariance)) * np.sqrt(40.0 / len(flat) / 2)
    assert np.all(np.abs(flat.mean(axis=0) - mean) < 4 * error)
    np.testing.assert_allclose(np.cov(flat.T), covariance, rtol=0.15)


def test_a_ball_starts_where_it_is_told_to():
    sampler = EnsembleSampler(parameters(), target(), ModelRunner(traced, ["y"]), GaussianLikelihood())
    state = sampler.initialize("ball", center=TRUE, radius=1e-3)
    samples = sampler.run(state, n_steps=2)
    np.testing.assert_allclose(samples.samples[0].mean(axis=0), [1.5, -0.5], atol=2e-3)
    assert samples.samples[0].std() > 0
    vector = sampler.initialize("ball", center=[1.5, -0.5], radius=[1e-3, 1e-2])
    assert vector.radius == {"slope": 1e-3, "offset": 1e-2}


def test_discard_counts_steps():
    sampler = EnsembleSampler(parameters(), target(), ModelRunner(traced, ["y"]), GaussianLikelihood())
    samples = sampler.run(10, WalkerInit.from_prior(), thin=5)
    assert samples.flat_samples(discard=1).shape == (32, 2)
    with pytest.raises(InvalidValue, match="discard = 10 leaves nothing"):
        samples.flat_samples(discard=10)


def test_a_chain_follows_from_its_seed():
    def drawn(seed):
        sampler = EnsembleSampler(parameters(), target(), ModelRunner(traced, ["y"]), GaussianLikelihood(), seed=seed)
        return sampler.run(WalkerInit(), 10).samples

    np.testing.assert_array_equal(drawn(1), drawn(1))
    assert np.all(drawn(1) != drawn(2))


def test_plain_python_gives_the_same_chain_and_a_failure_is_impossible():
    sampler = EnsembleSampler(parameters(), target(), ModelRunner(plain, ["y"]), GaussianLikelihood(), n_walkers=8)
    samples = sampler.run(sampler.initialize("ball", center=TRUE, radius=0.5), n_steps=40)
    assert np.isfinite(samples.log_probs).all()
    assert (samples.samples[..., 0] >= 0).all()
    theta = samples.samples[-1, 0]
    wanted = stats.norm.logpdf(theta, 0, 2).sum() - 0.5 * (((theta[0] * X + theta[1] - Y) / SIGMA) ** 2).sum()
    assert samples.log_probs[-1, 0] == pytest.approx(wanted, rel=1e-10)


class StudentLikelihood:
    """A likelihood of the user's own: heavier tails."""

    def ln_likelihood(self, output, target):
        own = target["y"]
        r = (output["y"] - own.anomalies) / own.uncertainties
        return -2.5 * (jnp.log1p(r**2 / 4.0)).sum()


def test_any_likelihood():
    problem = calibration(parameters(), target(), ModelRunner(traced, ["y"]), StudentLikelihood())
    assert type(problem) is CompiledFit
    r = (1.4 * X - 0.4 - Y) / SIGMA
    assert float(problem.log_likelihood(jnp.array([1.4, -0.4]))) == pytest.approx(-2.5 * np.log1p(r**2 / 4).sum())
    assert type(calibration(parameters(), target(), ModelRunner(traced), GaussianLikelihood())) is LeastSquaresFit


def test_least_squares_and_simplex_find_the_straight_line():
    slope, offset = np.polyfit(X, Y, 1)
    for parts in (
        (target(), ModelRunner(traced, ["y"]), GaussianLikelihood()),
        (ModelRunner(traced, ["y"]), GaussianLikelihood(), target()),  # rscm's order
    ):
        estimator = PointEstimator(parameters(), *parts)
        result = estimator.optimize("trf", n_restarts=3)
        assert result.best_params == pytest.approx({"slope": slope, "offset": offset}, rel=1e-8)
        assert result.converged
        assert len(result.restarts) == 3
    result = estimator.optimize("NelderMead", objective="likelihood")
    assert result.best_params == pytest.approx({"slope": slope, "offset": offset}, abs=1e-5)
    wanted = -0.5 * (((slope * X + offset - Y) / SIGMA) ** 2).sum()
    assert result.best_likelihood == pytest.approx(wanted, rel=1e-6)
    prior = stats.norm.logpdf([slope, offset], 0, 2).sum()
    assert result.best_log_posterior == pytest.approx(wanted + prior, rel=1e-6)


def test_random_search_takes_the_best_of_its_draws():
    estimator = PointEstimator(parameters(), target(), ModelRunner(traced, ["y"]), GaussianLikelihood())
    result = estimator.optimize(Optimizer.random_search(), n_samples=500, seed=3)
    assert (result.samples.shape, result.n_evals) == ((500, 2), 500)
    chi2 = (((result.samples[:, :1] * X + result.samples[:, 1:] - Y) / SIGMA) ** 2).sum(axis=1)
    np.testing.assert_allclose(result.likelihoods, -0.5 * chi2, rtol=1e-10)
    best = int(np.argmax(-0.5 * chi2 + stats.norm.logpdf(result.samples, 0, 2).sum(axis=1)))
    assert result.best_params == pytest.approx(dict(zip(TRUE, result.samples[best], strict=True)))
    assert result.best_log_likelihood == result.best_likelihood


def test_every_method_finds_the_highest_posterior():
    mean, covariance = exact_posterior()
    estimator = PointEstimator(parameters(), target(), ModelRunner(traced, ["y"]), GaussianLikelihood())
    likelihood = -0.5 * (((mean[0] * X + mean[1] - Y) / SIGMA) ** 2).sum()
    for method, tolerance in (
        ("L-BFGS", 1e-6),
        ("NelderMead", 1e-5),
        ("ParticleSwarm", 1e-2),
        ("differential-evolution", 1e-3),
    ):
        result = estimator.optimize(method, n_restarts=2)
        assert list(result.best_params.values()) == pytest.approx(mean, abs=tolerance), method
        assert result.converged, method
        assert result.best_likelihood == pytest.approx(likelihood, abs=50 * tolerance), method
        prior = stats.norm.logpdf(list(result.best_params.values()), 0, 2).sum()
        assert result.best_log_posterior == pytest.approx(result.best_likelihood + prior, rel=1e-9), method
        chi2 = (((result.samples[:, :1] * X + result.samples[:, 1:] - Y) / SIGMA) ** 2).sum(axis=1)
        np.testing.assert_allclose(result.likelihoods, -0.5 * chi2, rtol=1e-8, atol=1e-9, err_msg=method)
        if method == "L-BFGS":
            np.testing.assert_allclose(result.covariance, covariance, rtol=1e-6)


def test_what_cannot_be_is_refused():
    sampler = EnsembleSampler(parameters(), target(), ModelRunner(traced, ["y"]), GaussianLikelihood())
    estimator = PointEstimator(parameters(), target(), ModelRunner(traced, ["y"]), GaussianLikelihood())
    with pytest.raises(InvalidValue, match="likelihood alone"):
        estimator.optimize("trf", objective="posterior")
    with pytest.raises(UnknownName, match="anneal"):
        estimator.optimize("annealing")
    with pytest.raises(InvalidValue, match="from `here`"):
        sampler.initialize("here")
    with pytest.raises(InvalidValue, match="centre and a radius"):
        sampler.initialize("ball")
    with pytest.raises(InvalidValue, match="values for"):
        sampler.initialize("ball", center={"slope": 1.0}, radius=0.1)
    with pytest.raises(InvalidValue, match=r"shape \(3, 2\), not \(32, 2\)"):
        sampler.initialize("explicit", positions=np.zeros((3, 2)))
    with pytest.raises(InvalidValue, match="without a file"):
        sampler.run(WalkerInit(), 10, checkpoint_every=5)


def test_default_walkers():
    few = EnsembleSampler(parameters(), target(), ModelRunner(traced, ["y"]), GaussianLikelihood())
    assert few.n_walkers == few.default_n_walkers() == 32
    assert few.with_n_walkers(48).n_walkers == 48
    assert few.n_walkers == 32


def test_pieces_that_are_missing_or_do_not_fit():
    runner, likelihood = ModelRunner(traced, ["y"]), GaussianLikelihood()
    with pytest.raises(InvalidValue, match="there is no runner"):
        PointEstimator(parameters(), target(), likelihood)
    with pytest.raises(InvalidValue, match="target is empty"):
        PointEstimator(parameters(), Target(), runner, likelihood)
    with pytest.raises(InvalidValue, match="of type object"):
        PointEstimator(parameters(), target(), runner, object())
    with pytest.raises(InvalidValue, match="no parameters"):
        PointEstimator({}, target(), runner, likelihood)
    with pytest.raises(InvalidValue, match="parameters of type int"):
        PointEstimator(3, target(), runner, likelihood)
    with pytest.raises(InvalidValue, match="no variable `z`"):
        PointEstimator(parameters(), Target().add_variable("z", X, Y, SIGMA), runner, likelihood)
    with pytest.raises(InvalidValue, match="no `y` at 7"):
        PointEstimator(parameters(), Target().add_variable("y", [0.0, 7.0], [1, 2], 1.0), runner, likelihood)


def test_a_parameter_that_is_not_read_is_reported():
    with pytest.warns(ClimateWarning, match="does not read `wind`"):
        calibration(parameters().add("wind", Uniform(0, 1)), target(), ModelRunner(traced, ["y"]), GaussianLikelihood())


def test_a_factory_of_the_document_is_compiled_with_assessed_ranges():
    def make_model(params):
        component = TwoLayerComponent(
            climate_sensitivity=params["climate_sensitivity"], ocean_heat_uptake=params["ocean_heat_uptake"]
        )
        return ModelBuilder().with_component(component).build()

    own = ParameterSet(
        {"climate_sensitivity": Bound(Normal(3.0, 0.5), lower=1.5, upper=6.0), "ocean_heat_uptake": Uniform(0.5, 2.0)}
    )
    observed = Target().add_observed("gmst:hadcrut5", extra_sigma=0.1).add_range("ar6:ecs").add_range("ar6:tcr")
    observed.with_reference_period(1850, 1900)
    runner = ModelRunner(make_model, ["Surface Temperature", "Ocean Heat Content"])
    result = PointEstimator(own, observed, runner, GaussianLikelihood()).optimize("trf")
    assert result.converged
    assert 1.8 < result.best_params["climate_sensitivity"] < 4.5
    problem = calibration(own, observed, runner, GaussianLikelihood())
    text = str(jax.make_jaxpr(lambda t: problem.log_likelihood(t))(jnp.array([3.0, 0.7])))
    assert "callback" not in text
