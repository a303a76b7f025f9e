"""Estimates from the data alone, where the truth is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import xpcs_sets
from campaign.science import InvalidValue
from campaign_xpcs.data.maps import two_time_maps
from campaign_xpcs.data.scaling import far_lag_sigma, quantile_scaling, with_far_lag_sigma


def test_sigma_of_each_angle_from_far_lags():
    given = xpcs_sets.make(4, 80, sigma=0.0) | {"sigma": None}
    own = np.array([0.005, 0.01, 0.02, 0.04])
    noise = np.random.default_rng(2).standard_normal((4, 80, 80)) * own[:, None, None]
    noise = np.triu(noise, 1)
    maps = two_time_maps(**given | {"c2": given["c2"] + noise + np.swapaxes(noise, 1, 2)})
    np.testing.assert_allclose(far_lag_sigma(maps), own, rtol=0.06)  # 800 pairs: 2.5 %; two of them and the signal
    better = with_far_lag_sigma(maps)
    assert not better.sigma_is_default
    assert better.notes == (f"σ from the scatter at far lags: {better.sigma.min():.3g} to {better.sigma.max():.3g}",)
    with pytest.raises(InvalidValue, match="no scatter"):
        far_lag_sigma(replace(maps, c2=np.ones_like(maps.c2)))


def test_contrast_and_offset_where_the_correlation_decays():
    """An exponential with 12 decay times in the window."""
    lag = np.abs(np.subtract.outer(np.arange(60), np.arange(60))) * 0.1
    c2 = 1.1 + 0.4 * np.exp(-lag / 0.5)
    contrast, offset = quantile_scaling(two_time_maps([c2], phi_deg=[0.0], q=0.005, dt_s=0.1))
    assert offset[0] == pytest.approx(1.1, abs=1e-3)
    assert 0.25 < contrast[0] < 0.4
