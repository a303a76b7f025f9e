"""The two-plane model, its noisy data, Fisher matrix and fit, against the numbers of another implementation."""

import json
import warnings
from pathlib import Path

import jax
import numpy as np
import pytest

import campaign
from campaign_optics import TwoPlaneModel, check_sign_twin, conditioning, frame_problem, information, noisy
from campaign_optics.judge.sign_twin import SignTwinWarning
from campaign_optics.model import options as option_models
from campaign_optics.model.problem import build
from campaign_optics.model.two_plane import compiled
from campaign_optics.physics.constants import ARCSEC

DATA = Path(__file__).parent / "data" / "optics"
GOLDEN = json.loads((DATA / "golden.json").read_text())
TRUE, START = np.array(GOLDEN["theta_true"]), np.array(GOLDEN["theta0"])
NOLL = list(range(4, 16))


NAMES = [
    *("binary.separation_as", "binary.position_angle_deg", "binary.x_position_as", "binary.y_position_as"),
    *("binary.log_flux_total", "binary.contrast", "system.plate_scale_as_per_pix"),
]


def options(**others):
    truth = {**dict(zip(NAMES, TRUE[:7].tolist(), strict=True)), "detector.background_e": 10.0}
    truth |= {"primary.zernike_coeffs_nm": TRUE[7:19].tolist()}
    return option_models.BinaryFrameOptions(primary_noll=NOLL, truth=truth, **others)


@pytest.fixture(scope="module")
def image():
    """The noiseless image at the truth, by the name of the mask."""
    design = option_models.telescope(options())
    return {mask: np.asarray(compiled(TwoPlaneModel(design, mask))(TRUE)) for mask in "AB"}


@pytest.fixture(scope="module")
def problem():
    """Mask B and its noisy image."""
    return build(options(seed=GOLDEN["B"]["seed"]))


def noiseless(image, mask):
    """The problem of the image without noise."""
    own = options(mask=mask)
    model = TwoPlaneModel(option_models.telescope(own), mask)
    return frame_problem(model, option_models.space(own), image[mask], variance=image[mask] + 25.0)


@pytest.mark.parametrize("mask", ["A", "B"])
def test_the_noiseless_image(image, mask):
    own, golden = image[mask], GOLDEN[mask]
    assert own.sum() == pytest.approx(golden["sum"], rel=1e-10)
    assert own.max() == pytest.approx(golden["max"], rel=1e-10)
    assert np.unravel_index(own.argmax(), own.shape) == (33, 46)
    assert own[28:36, 28:36].sum() == pytest.approx(golden["central"], rel=1e-10)


def test_the_noisy_image_of_mask_b(problem):
    loss = jax.jit(lambda theta: -problem.log_likelihood(theta))
    assert float(loss(START)) == pytest.approx(16640.01927303873, rel=1e-13)
    assert float(loss(np.array(GOLDEN["B"]["theta_map"]))) == pytest.approx(2018.79230076845, rel=1e-13)


def test_the_noisy_image_of_mask_a(image):
    rng = np.random.default_rng(GOLDEN["A"]["seed"])
    assert TRUE[7:19] == pytest.approx(5.0 * rng.standard_normal(12), rel=1e-14)
    data = noisy(image["A"], 5.0, rng)
    own = options(mask="A")
    sigmas = option_models.space(own).typical
    assert pytest.approx(TRUE + sigmas * rng.standard_normal(20), rel=1e-14) == START
    model = TwoPlaneModel(option_models.telescope(own), "A")
    problem = frame_problem(model, option_models.space(own), data, variance=image["A"] + 25.0)
    loss = jax.jit(lambda theta: -problem.log_likelihood(theta))
    assert float(loss(START)) == pytest.approx(GOLDEN["A"]["loss0"], rel=1e-13)
    assert float(loss(np.array(GOLDEN["A"]["theta_map"]))) == pytest.approx(GOLDEN["A"]["loss_map"], rel=1e-13)


@pytest.mark.parametrize("mask", ["A", "B"])
def test_the_fisher_matrix_and_what_follows(image, mask):
    golden = GOLDEN[mask]
    found = information(noiseless(image, mask), golden["theta_map"])
    expected = np.load(DATA / f"fisher_{mask}.npy")
    scale = 1.0 / np.sqrt(np.diag(expected))
    assert np.abs((found.fisher - expected) * scale[:, None] * scale[None, :]).max() < 1e-10
    assert list(found.stderr().values()) == pytest.approx(golden["crlb"], rel=1e-8)
    report = conditioning(found)
    assert {name: report[name] for name in golden["conditioning"]} == pytest.approx(golden["conditioning"], rel=1e-6)


@pytest.mark.parametrize("mask", ["A", "B"])
def test_modes_of_the_start_are_nearly_those_of_the_optimum(image, mask):
    """The condition number at the optimum in eigenmodes that were whitened at the start."""
    own = noiseless(image, mask)
    start, optimum = (information(own, at).fisher for at in (START, GOLDEN[mask]["theta_map"]))
    scale = 1.0 / np.sqrt(np.diag(start))
    values, modes = np.linalg.eigh(start * scale[:, None] * scale)
    whitening = scale[:, None] * modes / np.sqrt(values)
    seen = np.linalg.eigvalsh(whitening.T @ optimum @ whitening)
    assert seen[-1] / seen[0] == pytest.approx(GOLDEN[mask]["whitened_at_start"], rel=1e-8)


def test_two_mirrors_are_nearly_degenerate(image):
    """The condition number with priors is a quarter of that without."""
    golden = GOLDEN["two_mirrors"]
    free = ["primary.zernike_coeffs_nm", "secondary.zernike_coeffs_nm", "detector.background_e", *NAMES]
    own = options(mask="A", secondary_noll=[4, 5, 6, 7], infer=free, priors="normal")
    design = option_models.telescope(own)
    assert design.footprint_shift * 5.0 * ARCSEC == pytest.approx(golden["footprint_shift_5as"], rel=1e-12)
    problem = frame_problem(
        TwoPlaneModel(design, "A"), option_models.space(own), image["A"], variance=image["A"] + 25.0
    )
    optimum = GOLDEN["A"]["theta_map"]
    found = information(problem, [*optimum[:19], *[0.0] * 4, optimum[19]])
    report = conditioning(found)
    for name in ("raw", "diagonal", "diagonal_with_priors"):
        assert report[name] == pytest.approx(golden[name], rel=1e-8)


def test_the_twin_of_mask_a(image):
    design = option_models.telescope(options())
    with pytest.warns(SignTwinWarning, match="does not tell them"):
        found = check_sign_twin(TwoPlaneModel(design, "A"), TRUE)
    assert found.difference < 1e-14
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        other = check_sign_twin(TwoPlaneModel(design, "B"), TRUE)
    assert other.difference == pytest.approx(GOLDEN["B"]["twin"], rel=1e-6)
    assert not other.is_twin


def test_least_squares_find_the_optimum(problem):
    names = problem.space.names
    fit = campaign.fit(problem, "trf", dict(zip(names, START.tolist(), strict=True)))
    sigmas = np.array(GOLDEN["B"]["crlb"])
    off = (np.array([fit.theta[name] for name in names]) - GOLDEN["B"]["theta_map"]) / sigmas
    assert fit.status == "ok"
    assert fit.loss - GOLDEN["B"]["loss_map"] < 1e-8
    assert np.abs(off).max() < 1e-3
    assert list(fit.stderr.values()) == pytest.approx(sigmas, rel=1e-3)
    excess = np.asarray(fit.trace["loss"]) - GOLDEN["B"]["loss_map"]
    assert np.argmax(excess < 1e-3) <= 6
