"""Importance weights against products of Gaussians, and what they refuse."""

import numpy as np
import pytest
from scipy import stats

from campaign.analysis.reweighting import reweight, tail_shape


def test_weights_make_one_gaussian_another():
    draws = np.random.default_rng(8).normal(0.0, 1.0, size=(200_000, 1))
    found = reweight(stats.norm.logpdf(draws[:, 0], 1.0, 1.0))
    assert found.mean(draws)[0] == pytest.approx(0.5, abs=0.01)
    assert found.covariance(draws)[0, 0] == pytest.approx(0.5, abs=0.01)
    low, middle, high = found.quantiles(draws, (0.16, 0.5, 0.84))[:, 0]
    expected = stats.norm.ppf((0.16, 0.5, 0.84), 0.5, np.sqrt(0.5))
    assert [low, middle, high] == pytest.approx(expected, abs=0.01)
    exact = stats.norm.logpdf(0.0, 1.0, np.sqrt(2.0))
    assert abs(found.log_ratio - exact) < 4 * found.log_ratio_stderr


def test_the_number_of_effective_draws():
    """Of N(0, 1) weighted by N(m, 1): E[w]² / E[w²] = √3/2 · exp(−m²/6) in closed form."""
    draws = np.random.default_rng(9).normal(size=400_000)
    found = reweight(-0.5 * (draws - 1.0) ** 2, n_independent=40_000.0)
    assert found.n_effective == pytest.approx(40_000 * np.sqrt(3) / 2 * np.exp(-1 / 6), rel=0.01)
    assert found.n_independent == 40_000


def test_the_stated_error_of_the_ratio_is_that_of_many_tries():
    rng = np.random.default_rng(10)
    tries = [reweight(-0.5 * (rng.normal(size=2_000) - 1.0) ** 2) for _ in range(200)]
    scatter = np.std([one.log_ratio for one in tries])
    assert np.mean([one.log_ratio_stderr for one in tries]) == pytest.approx(scatter, rel=0.2)


@pytest.mark.parametrize("shape", [-0.3, 0.2, 0.5, 0.9])
def test_the_tail_of_known_distributions(shape):
    found = [
        tail_shape(stats.genpareto.rvs(shape, size=20_000, random_state=np.random.default_rng(k))) for k in range(20)
    ]
    assert np.mean(found) == pytest.approx(shape, abs=0.06)


def test_weights_without_a_mean_are_refused_though_enough_draws_seem_to_count():
    weights = stats.genpareto.rvs(0.9, size=4_000, random_state=np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"most of the weight \(k = 0.86"):
        reweight(np.log(weights), least=50.0)


@pytest.mark.parametrize(
    ("added", "said"),
    [
        ([0.0, np.nan], "not a number"),
        ([-np.inf] * 3, "leaves no draw"),
        ([0.0] + [-50.0] * 999, "hardly overlap"),
        ([0.0] * 50, "50 effective draws, of 50 independent ones, are fewer than 100; give a chain about 2 times"),
    ],
)
def test_what_cannot_be_reweighted(added, said):
    with pytest.raises(ValueError, match=said):
        reweight(np.array(added))
