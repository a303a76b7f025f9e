"""Moments and quantiles in pieces against NumPy on the whole."""

import numpy as np
import pytest

from campaign.analysis.streaming import moments, quantiles

RANDOM = np.random.default_rng(5)
LEVELS = (0.0, 0.003, 0.05, 0.5, 0.77, 0.95, 1.0)
DRAWS = {
    "normal": RANDOM.normal(size=(3001, 3)),
    "cauchy": RANDOM.standard_cauchy(size=(3001, 2)) * 1e30,
    "close together": 1.0 + 1e-12 * RANDOM.normal(size=(2000, 2)),
    "ties": RANDOM.integers(-3, 4, size=(2500, 2)).astype(float),
    "signed zeros": np.array([[0.0], [-0.0], [0.0], [-1e-300], [1e-300]]),
    "one": np.array([[3.5, -2.0]]),
    "two": np.array([[3.5], [-2.0]]),
}


def pieces(draws):
    return np.split(draws, sorted({1, 7, 900, len(draws) // 2} & set(range(1, len(draws)))))


@pytest.mark.parametrize("name", DRAWS)
def test_quantiles_are_those_of_numpy(name):
    draws = DRAWS[name]
    found = quantiles(lambda: pieces(draws), len(draws), LEVELS)
    np.testing.assert_allclose(found, np.quantile(draws, LEVELS, axis=0), rtol=4e-16, atol=0)


def test_quantiles_of_infinite_draws():
    draws = np.array([[-np.inf], [1.0], [2.0], [np.inf], [np.inf]])
    found = quantiles(lambda: [draws], 5, (0.0, 0.25, 0.5, 0.75, 1.0))
    np.testing.assert_array_equal(found[:, 0], [-np.inf, 1.0, 2.0, np.inf, np.inf])


def test_quantiles_of_draws_that_are_no_numbers():
    draws = RANDOM.normal(size=(50, 2))
    draws[3, 1] = np.nan
    found = quantiles(lambda: [draws], 50, (0.5, 1.0))
    assert np.isfinite(found[:, 0]).all()
    assert np.isnan(found[1, 1])


def test_moments_are_those_of_numpy_also_far_from_zero():
    draws = RANDOM.normal(size=(5000, 3)) @ RANDOM.normal(size=(3, 3)) + 1e6
    mean, covariance = moments(pieces(draws))
    np.testing.assert_allclose(mean, draws.mean(axis=0), rtol=1e-14)
    np.testing.assert_allclose(covariance, np.cov(draws.T), rtol=1e-8)
