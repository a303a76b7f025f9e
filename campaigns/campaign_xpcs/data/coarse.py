"""Maps with fewer frames: means over blocks, for searches that only need to see the valley."""

from __future__ import annotations

import numpy as np

from campaign_xpcs.data.maps import TwoTimeMaps


def block_averaged(maps: TwoTimeMaps, factor: int) -> TwoTimeMaps:
    """Means over factor × factor points; frames that do not fill a block at the end are left out.

    σ of a block is that of a mean of independent points. Blocks with masked points are means of the others; those on
    the diagonal do not count.

    Checked: tests/unit/xpcs/data/test_coarse.py: a plane stays a plane, and σ is the scatter of block means.
    """
    n = maps.n_times // factor
    if factor == 1 or n < 3:
        return maps
    k = n * factor
    shape = (maps.n_phi, n, factor, n, factor)
    sigma = np.broadcast_to(maps.sigma.reshape(*maps.sigma.shape, *(1,) * (3 - maps.sigma.ndim)), maps.c2.shape)
    counts = maps.mask[:, :k, :k].reshape(shape)
    values = np.where(maps.mask, maps.c2, 0.0)[:, :k, :k].reshape(shape)
    number = counts.sum(axis=(2, 4))
    some = np.maximum(number, 1)
    variance = (np.where(maps.mask, sigma, 0.0)[:, :k, :k].reshape(shape) ** 2).sum(axis=(2, 4))
    mask = (number > 0) & ~np.eye(n, dtype=bool)
    c2 = values.sum(axis=(2, 4)) / some
    error = np.where(mask, np.sqrt(variance) / some, 1.0)
    return TwoTimeMaps(
        c2=0.5 * (c2 + np.swapaxes(c2, 1, 2)),
        phi_deg=maps.phi_deg,
        times_s=maps.times_s[:k].reshape(n, factor).mean(axis=1),
        dt_s=maps.dt_s * factor,
        q=maps.q,
        gap=maps.gap,
        sigma=0.5 * (error + np.swapaxes(error, 1, 2)),
        sigma_is_default=maps.sigma_is_default,
        mask=mask,
        notes=(*maps.notes, f"means over {factor} × {factor} points"),
    )
