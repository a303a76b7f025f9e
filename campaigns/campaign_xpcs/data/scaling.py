"""Contrast and offset as the data show them, before anything is fitted; and errors of a point from far lags."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Float

from campaign.science import InvalidValue
from campaign_xpcs.data.maps import TwoTimeMaps

_NEAR, _FAR = 0.2, 0.8  # quantiles of the lag that count as near and far
_FLOOR, _CEILING = 0.1, 0.9  # quantiles of c2 there
_LEAST_PAIRS = 20


def quantile_scaling(maps: TwoTimeMaps) -> tuple[Float[np.ndarray, " n_phi"], Float[np.ndarray, " n_phi"]]:
    """(contrast, offset) of each angle: offset the 10 % quantile of far lags, ceiling the 90 % quantile of near ones.

    Biased where the correlation has not decayed; a start, or what `scaling="fixed"` holds where nothing was given.
    Contrast is at least 0.01.

    Source: homodyne, per-angle quantile scaling.
    Checked: tests/unit/xpcs/test_xpcs_scaling.py.
    """
    i, j = np.triu_indices(maps.n_times, 1)
    lag = j - i
    near, far = lag <= np.quantile(lag, _NEAR), lag >= np.quantile(lag, _FAR)
    contrast, offset = np.empty(maps.n_phi), np.empty(maps.n_phi)
    for k in range(maps.n_phi):
        c2, counts = maps.c2[k, i, j], maps.mask[k, i, j]
        low, high = (c2[counts & part] if (counts & part).any() else c2[counts] for part in (far, near))
        if low.size == 0:
            low = high = np.ones(1)
        offset[k] = np.quantile(low, _FLOOR)
        contrast[k] = max(np.quantile(high, _CEILING) - offset[k], 0.01)
    return contrast, offset


def far_lag_sigma(maps: TwoTimeMaps) -> Float[np.ndarray, " n_phi"]:
    """σ of each angle: σ² = ½ ⟨(c2(i, j) − c2(i+1, j+1))²⟩ over the far half of the lags.

    Points one step along a diagonal share no frame, and the signal changes little between them.

    Raises:
        InvalidValue: too few points, or no scatter.

    Checked: tests/unit/xpcs/test_xpcs_scaling.py against a known σ.
    """
    n = maps.n_times
    i, j = np.triu_indices(n, max(n // 2, 1))
    inside = j + 1 < n
    i, j = i[inside], j[inside]
    found = np.empty(maps.n_phi)
    for k in range(maps.n_phi):
        both = maps.mask[k, i, j] & maps.mask[k, i + 1, j + 1]
        if np.count_nonzero(both) < _LEAST_PAIRS:
            raise InvalidValue(
                f"{np.count_nonzero(both)} pairs of points at far lags of angle {maps.phi_deg[k]:g}° are too few for σ",
                hint="give sigma",
            )
        step = maps.c2[k, i[both], j[both]] - maps.c2[k, i[both] + 1, j[both] + 1]
        found[k] = np.sqrt(0.5 * np.mean(step**2))
    if not (found > 0).all():
        raise InvalidValue("c2 has no scatter at far lags", hint="data without noise: give sigma")
    return found


def with_far_lag_sigma(maps: TwoTimeMaps) -> TwoTimeMaps:
    """The maps with σ of each angle from `far_lag_sigma`, which is said in the notes."""
    sigma = far_lag_sigma(maps)
    said = f"σ from the scatter at far lags: {sigma.min():.3g} to {sigma.max():.3g}"
    kept = tuple(note for note in maps.notes if not note.startswith("no errors were given"))
    return replace(maps, sigma=sigma, sigma_is_default=False, notes=(*kept, said))
