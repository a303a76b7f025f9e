"""Subsamples: every draw is as likely as every other, and marginals are kept better than by chance."""

import numpy as np
import pytest
from scipy import stats

from campaign.analysis.spread import spread_rows
from campaign.errors import InvalidValue

RANDOM = np.random.default_rng(8)


def test_rows_differ_and_are_as_many_as_asked():
    draws = RANDOM.normal(size=(1003, 4))
    for n in (1, 10, 600, 1003):
        rows = spread_rows(draws, n, seed=1)
        assert len(np.unique(rows)) == n
    for n in (0, 1004):
        with pytest.raises(InvalidValue, match="cannot be chosen"):
            spread_rows(draws, n, seed=1)


@pytest.mark.parametrize("d", [1, 5, 50, 70])
def test_marginals_are_kept(d):
    draws = RANDOM.normal(size=(20_000, d)) @ np.tril(RANDOM.normal(size=(d, d)))
    chosen = draws[spread_rows(draws, 600, seed=2)]
    by_chance = draws[np.random.default_rng(2).choice(20_000, 600, replace=False)]
    distances = [stats.ks_2samp(chosen[:, i], draws[:, i]).statistic for i in range(d)]
    chance = [stats.ks_2samp(by_chance[:, i], draws[:, i]).statistic for i in range(d)]
    assert max(distances) < 0.07  # 1.63/√600: the 1 % point of Kolmogorov's distance by chance
    if d <= 5:
        assert np.mean(distances) < 0.6 * np.mean(chance)


def test_every_draw_is_equally_likely():
    draws = RANDOM.normal(size=(60, 2))
    counts = np.bincount(np.concatenate([spread_rows(draws, 20, seed) for seed in range(600)]), minlength=60)
    assert stats.chisquare(counts).pvalue > 1e-3
