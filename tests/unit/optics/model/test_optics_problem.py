"""The problem of one image: residuals, likelihoods, masks, priors, starts. Small images: the numbers do not matter."""

import json

import jax
import numpy as np
import pytest
from pydantic import ValidationError
from scipy import stats

from campaign.errors import InvalidValue, UnknownName
from campaign.problem.target import Target
from campaign_optics.model import likelihood, parameters, simulated
from campaign_optics.model.options import BinaryFrameOptions, space, telescope, truth
from campaign_optics.model.problem import build, frame_problem
from campaign_optics.model.two_plane import TwoPlaneModel

SMALL = {"pixels": 12, "pupil_pixels": 12, "oversample": 1, "n_wavelengths": 1, "primary_noll": [4, 7]}
TRUTH = {"binary.separation_as": 1.9, "binary.log_flux_total": 4.5, "detector.background_e": 12.0}


def options(**others):
    own = {"initial": {"binary.separation_as": 2.0, "binary.log_flux_total": 4.5, "detector.background_e": 10.0}}
    return BinaryFrameOptions.model_validate_json(json.dumps({**SMALL, **own, "truth": TRUTH, **others}))


@pytest.fixture(scope="module")
def problem():
    return build(options(priors="normal", seed=3, normalize=True))


@pytest.fixture(scope="module")
def at(problem):
    """A theta near the start."""
    return problem.space.initial + 0.3 * problem.space.typical


@pytest.fixture(scope="module")
def log_likelihood(problem):
    return jax.jit(jax.value_and_grad(lambda p, theta: p.log_likelihood(theta), argnums=1))


def test_the_loss_is_half_the_squared_residuals_and_the_norm(problem, at, log_likelihood):
    """O-02, and the density itself by scipy."""
    r = np.asarray(problem.residuals(at))
    model, data = np.asarray(problem.model.predict(at)), np.asarray(problem.electrons)
    sigma = 1.0 / np.asarray(problem.weight)
    loss = -float(log_likelihood(problem, at)[0])
    assert loss == pytest.approx(0.5 * (r @ r) + 0.5 * np.log(2.0 * np.pi * sigma**2).sum(), rel=1e-12)
    assert loss == pytest.approx(-stats.norm.logpdf(data, model, sigma).sum(), rel=1e-12)


def test_gradients_of_loss_and_log_posterior_are_opposite(problem, at, log_likelihood):
    """O-01: identity coordinates, normal priors about the initial values."""
    target = Target(problem=problem, base=problem.space.initial, scale=problem.space.typical)
    gradient = np.asarray(jax.grad(target.log_posterior)(at))
    prior = (at - problem.space.initial) / problem.space.typical**2
    expected = -np.asarray(log_likelihood(problem, at)[1]) + prior
    assert gradient == pytest.approx(-expected, rel=1e-12, abs=1e-12 * np.abs(expected).max())


@pytest.mark.parametrize("kind", ["gaussian", "poisson"])
def test_masked_pixels_count_exactly_nothing(problem, at, kind):
    """O-04: whatever the data, NaN or inf, are there; gradients are finite and those of the other pixels."""
    data = np.array(problem.model.predict(at)) + 3.0
    variance = np.full(data.shape, 40.0)
    left_out = np.zeros(data.shape, bool)
    left_out[2, 3:5] = True
    spoiled, spoiled_variance = data.copy(), variance.copy()
    spoiled[2, 3], spoiled[2, 4], spoiled[7, 7], spoiled_variance[8, 8] = np.nan, 1e300, np.inf, np.nan
    left_out_too = left_out.copy()
    left_out_too[7, 7] = left_out_too[8, 8] = True
    if kind == "poisson":
        left_out[8, 8] = True
    make = {"kind": kind, "model": problem.model, "space": problem.space}
    one = frame_problem(electrons=spoiled, variance=spoiled_variance, left_out=left_out, **make)
    clean = frame_problem(electrons=data, variance=variance, left_out=left_out_too, **make)
    r = np.asarray(one.residuals(at)).reshape(12, 12)
    assert not r[left_out_too].any()
    assert np.count_nonzero(r) == 144 - 4
    gradient, expected = (np.asarray(jax.grad(lambda t, p=p: p.log_likelihood(t))(at)) for p in (one, clean))
    assert np.isfinite(gradient).all()
    assert np.array_equal(gradient, expected)


def test_deviance_residuals_are_the_poisson_likelihood():
    rng = np.random.default_rng(5)
    model = rng.uniform(0.5, 50.0, 400)
    data = rng.poisson(model).astype(float)
    data[:3], data[3:6] = 0.0, model[3:6] * (1.0 + np.array([0.0, 1e-9, -1e-4]))
    whole = np.round(data[6:])
    r = np.asarray(likelihood.poisson(model, data, np.ones(400)))
    assert np.sign(r[6:]).tolist() == np.sign(model[6:] - whole).tolist()
    norm = likelihood.log_norm("poisson", whole, np.ones(394))
    assert -0.5 * (r[6:] @ r[6:]) + norm == pytest.approx(stats.poisson.logpmf(whole, model[6:]).sum(), rel=1e-12)
    slope = np.asarray(jax.vmap(jax.grad(lambda m, d: 0.5 * likelihood.poisson(m, d, 1.0) ** 2))(model, data))
    assert slope == pytest.approx(1.0 - data / model, abs=1e-11)
    assert np.asarray(likelihood.poisson(model[3:4], data[3:4], np.ones(1))) == [0.0]


def test_curvature_of_deviance_residuals_is_the_expected_information():
    m, d = np.array(17.0), np.array(17.001)
    slope = float(jax.grad(lambda m: likelihood.poisson(m, d, 1.0))(m))
    assert slope**2 == pytest.approx(1.0 / 17.0, rel=1e-4)


def test_normal_priors_as_residuals(at):
    own = build(options(priors="normal", penalty=True, seed=3))
    r = np.asarray(own.residuals(at))
    free = [i for i, p in enumerate(own.space.parameters) if p.free]
    assert r.shape == (144 + len(free),)
    assert r[144:] == pytest.approx(0.3, rel=1e-12)
    assert float(own.log_likelihood(at)) == pytest.approx(-0.5 * (r[:144] @ r[:144]), rel=1e-12)


def test_the_truth_is_declared_and_parameters_have_blocks(problem, at):
    assert float(problem.truth()["binary.separation_as"]) == 1.9
    assert float(problem.derived(at)["n_pixels"]) == 144.0
    blocks = [problem.block(name) for name in ("binary.contrast", "binary.x_position_as", "primary.zernike_coeffs_nm")]
    assert blocks == ["photometry", "astrometry", "primary.zernikes"]


def test_noise_follows_from_the_seed():
    one, same, other = (np.asarray(build(options(seed=k)).electrons) for k in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
    mean = np.asarray(build(options(noise=False)).electrons)
    rng = np.random.default_rng(1)
    assert np.array_equal(one, rng.poisson(mean) + 5.0 * rng.standard_normal(mean.shape))


def test_flaws_of_the_simulating_telescope():
    mean = np.asarray(build(options(noise=False)).electrons)
    scale = telescope(options()).plate_scale
    moved = np.asarray(build(options(noise=False, pixel_offset_x=0.25)).electrons)
    shifted = build(options(noise=False, truth={**TRUTH, "binary.x_position_as": 0.25 * scale}))
    assert moved == pytest.approx(np.asarray(shifted.electrons), rel=1e-12)
    uneven = np.asarray(build(options(noise=False, pixel_response_rms=0.05)).electrons) / mean
    assert uneven.std() == pytest.approx(0.05, rel=0.2)
    still = np.asarray(build(options(noise=False, jitter_as=1e-3)).electrons)
    assert still == pytest.approx(mean, rel=1e-9)


def test_jitter_is_the_mean_of_shifted_images():
    """By Gauss-Hermite quadrature over the shifts; at the edges light comes in that the image does not have."""
    own = options(pixels=32, oversample=2)
    model, theta, sigma = TwoPlaneModel(telescope(own)), truth(own), 0.2
    node, weight = np.polynomial.hermite_e.hermegauss(15)
    weight /= weight.sum()
    steps = node * sigma / theta[6]
    mean = sum(
        a * b * simulated.expected(model, tuple(theta.tolist()), simulated.Imperfection(offset_x=x, offset_y=y))
        for a, x in zip(weight, steps, strict=True)
        for b, y in zip(weight, steps, strict=True)
    )
    blurred = simulated.expected(model, tuple(theta.tolist()), simulated.Imperfection(jitter_as=sigma))
    assert blurred[6:-6, 6:-6] == pytest.approx(mean[6:-6, 6:-6], rel=1e-6)


def test_aliases_and_vectors():
    known = parameters.fields(telescope(options()))
    own = parameters.values({"source.separation_as": 3.0, "optics.primary.zernike_coeffs_nm": [1.0, 2.0]}, known)
    expected = {"binary.separation_as": 3.0, "primary.zernike_coeffs_nm[0]": 1.0, "primary.zernike_coeffs_nm[1]": 2.0}
    assert own == expected
    names = space(options(infer=["source.x_position_as", "optics.primary.zernike_coeffs_nm"])).free_names
    assert names == ("binary.x_position_as", "primary.zernike_coeffs_nm[0]", "primary.zernike_coeffs_nm[1]")
    with pytest.raises(UnknownName, match="unknown parameter `binary\\.seperation_as`"):
        parameters.expanded(["binary.seperation_as"], known)
    with pytest.raises(InvalidValue, match="has 3 values"):
        parameters.values({"primary.zernike_coeffs_nm": [1.0, 2.0, 3.0]}, known)


def test_names_are_those_of_the_model():
    own = options(secondary_noll=[4])
    assert space(own).names == TwoPlaneModel(telescope(own)).names
    assert not space(own)["secondary.zernike_coeffs_nm[0]"].free


def test_starts():
    explicit, near, again, prior = (
        space(options(**own)).initial
        for own in (
            {},
            {"init": "prior-near", "init_seed": 4},
            {"init": "prior-near", "init_seed": 4},
            {"init": "prior", "priors": "normal", "init_seed": 4},
        )
    )
    sigma = space(options()).typical
    assert explicit[0] == 2.0
    assert np.array_equal(near, again)
    assert 0.0 < np.abs((near - truth(options())) / sigma).max() < 4.0
    assert 0.0 < np.abs((prior - explicit) / sigma).max() < 4.0
    assert space(options(init="prior-near", init_seed=5)) == space(options())  # one program for all starts


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ({"design": "flihgt"}, "unknown design"),
        ({"pixels": 13}, "13 is odd"),
        ({"init": "prior"}, "has no prior"),
        ({"infer": ["nothing"]}, "unknown parameter"),
        ({"data": "a.npz"}, "have no `truth`"),
    ],
)
def test_options_that_do_not_fit(others, message):
    with pytest.raises((ValidationError, UnknownName), match=message):
        options(**others)


def test_images_that_cannot_be_fitted(problem):
    model, own, data = problem.model, problem.space, np.full((12, 12), 5.0)
    with pytest.raises(InvalidValue, match=r"the image has \(4, 4\) pixels"):
        frame_problem(model, own, np.ones((4, 4)), variance=np.ones((4, 4)))
    with pytest.raises(InvalidValue, match="variance of 0"):
        frame_problem(model, own, data, variance=np.zeros((12, 12)))
    with pytest.raises(InvalidValue, match="-5 electrons"):
        frame_problem(model, own, -data, kind="poisson")
    with pytest.raises(InvalidValue, match="leaves no pixel"):
        frame_problem(model, own, data * np.nan, variance=data)
