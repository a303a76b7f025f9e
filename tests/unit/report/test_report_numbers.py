"""The numbers behind drawings, against sums written out, closed forms and the engines' own diagnostics."""

import numpy as np
import pytest

from campaign import diagnostics
from campaign.report.numbers import autocorrelation, integrated_time, mass_levels, rank_counts, smoothed_histogram


def chains(rho, n_steps=4000, n_chains=16, seed=0):
    """AR(1) of unit variance, (n_steps, n_chains)."""
    noise = np.random.default_rng(seed).standard_normal((n_steps, n_chains))
    x = np.empty_like(noise)
    x[0] = noise[0]
    for t in range(1, n_steps):
        x[t] = rho * x[t - 1] + np.sqrt(1 - rho**2) * noise[t]
    return x


def test_autocorrelation_is_the_sum():
    x = chains(0.7, 50, 3)
    centred = x - x.mean(axis=0)
    expected = [np.mean((centred[: 50 - t] * centred[t:]).sum(axis=0) / (centred**2).sum(axis=0)) for t in range(50)]
    np.testing.assert_allclose(autocorrelation(x), expected, atol=1e-14)


def test_of_a_constant_there_is_none():
    assert np.isnan(autocorrelation(np.ones((5, 2)))).all()
    assert np.isnan(integrated_time(autocorrelation(np.ones((5, 2)))))


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
def test_integrated_time_of_an_autoregression(rho):
    x = chains(rho, 20000, 8, seed=2)
    tau = integrated_time(autocorrelation(x))
    assert tau == pytest.approx(diagnostics.autocorrelation_time(x), rel=1e-12)
    assert tau == pytest.approx((1 + rho) / (1 - rho), rel=0.06)


def test_rank_counts_by_hand():
    draws = np.array([[0.0, 5.0], [1.0, 4.0], [2.0, 3.0]])
    counts, _ = rank_counts(draws, 2)
    np.testing.assert_array_equal(counts, [[3, 0], [0, 3]])


@pytest.mark.parametrize("rho", [0.0, 0.8, 0.95])
def test_counts_of_mixed_chains_scatter_as_stated(rho):
    counts, sigma = rank_counts(chains(rho, seed=5), 20)
    assert counts.sum(axis=1).tolist() == [4000] * 16
    assert np.std(counts - 200) == pytest.approx(sigma, rel=0.15)


def test_chains_at_different_places_are_far_outside():
    counts, sigma = rank_counts(chains(0.5) + np.linspace(-1, 1, 16), 20)
    assert np.mean(np.abs(counts - 200) > 2 * sigma) > 0.5


def test_levels_of_a_gaussian():
    """Outside the contour at the height h of a two-dimensional Gaussian of peak 1 lies the mass h."""
    x = np.linspace(-6, 6, 401)
    density = np.exp(-0.5 * (x[:, None] ** 2 + x[None, :] ** 2))
    np.testing.assert_allclose(mass_levels(density, (0.954, 0.683)), [0.046, 0.317], rtol=0.01)
    assert mass_levels(np.zeros((3, 3)), (0.5,)) == []


def test_a_smoothed_histogram_keeps_its_mass_and_place():
    x, y = np.random.default_rng(1).normal((1.0, -2.0), (0.5, 0.2), (100_000, 2)).T
    density, at_x, at_y = smoothed_histogram(x, y, (-2.0, 4.0), (-3.0, -1.0))
    assert density.sum() == pytest.approx(100_000, rel=1e-3)
    assert (density.sum(axis=1) @ at_x) / density.sum() == pytest.approx(1.0, abs=0.01)
    assert (density.sum(axis=0) @ at_y) / density.sum() == pytest.approx(-2.0, abs=0.01)
