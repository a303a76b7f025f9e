"""Arrays of a fit: bands against draws, χ² of the angles, and autocorrelations of known noise."""

import numpy as np
import pytest

import xpcs_sets as sets
from campaign_xpcs.api.fitted import autocorrelation, fitted_arrays
from campaign_xpcs.api.inputs import request
from campaign_xpcs.api.nlsq import fit_request
from campaign_xpcs.data.maps import two_time_maps

HELD = {"D_offset": 100.0, "gamma_dot_t_offset": 1e-4}


@pytest.fixture(scope="module")
def fit():
    config = {
        "analysis_mode": "laminar_flow",
        "model": {"shear_model": "homodyne-compat"},
        "initial_parameters": {"values": dict(sets.NEAR), "fixed_parameters": HELD},
    }
    asked = request(two_time_maps(**sets.make(3, 24, sigma=0.003)), config, {}, None)
    result = fit_request(asked)
    return asked, result, fitted_arrays(asked, result)


def test_the_angles_add_up(fit):
    _, result, arrays = fit
    assert arrays.chi2.sum() == pytest.approx(result.chi_squared, rel=1e-10)
    assert arrays.counts.sum() == result.n_data
    assert np.isnan(arrays.residual[:, range(24), range(24)]).all()
    np.testing.assert_allclose(arrays.contrast[0], [result.values[f"contrast[{k}]"] for k in range(3)])
    np.testing.assert_allclose(arrays.contrast[1], [result.errors[f"contrast[{k}]"] for k in range(3)], rtol=1e-10)


def test_bands_are_the_spread_of_draws(fit):
    _, result, arrays = fit
    at = [result.names.index(name) for name in ("D0", "alpha")]
    drawn = np.random.default_rng(0).multivariate_normal(
        result.parameters[at], 1e-4 * result.covariance[np.ix_(at, at)], size=4000
    )  # a hundredth of the errors: where the rate is linear
    t = arrays.times_s[1:]
    rates = drawn[:, :1] * t ** drawn[:, 1:] + HELD["D_offset"]
    np.testing.assert_allclose(arrays.rates["D"][1][1:], 100.0 * rates.std(axis=0), rtol=0.05)
    np.testing.assert_allclose(arrays.rates["D"][0][1:], rates.mean(axis=0), rtol=1e-3)


def test_autocorrelation_of_white_noise_and_of_noise_of_a_frame():
    rng = np.random.default_rng(1)
    n = 80
    white = rng.normal(size=(2, n, n))
    frame = white + rng.normal(size=(2, n, 1))
    upper = np.triu(np.ones((n, n), bool), 1)
    limit = 4.0 / np.sqrt(2 * upper.sum())
    white, frame = (np.where(upper, a, np.nan) for a in (white, frame))
    assert np.abs(autocorrelation(white)).max() < limit
    assert autocorrelation(frame, 3) == pytest.approx([0.5] * 3, abs=0.12)  # half of the variance is the row's
