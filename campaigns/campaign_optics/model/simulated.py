"""Simulated images: of the telescope that is fitted, or of one whose detector and pointing are not perfect."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from jaxtyping import Float

from campaign_optics.model.two_plane import TwoPlaneModel, compiled

_INDEX = {"plate_scale": 6, "x": 2, "y": 3}  # in theta


@dataclass(frozen=True, slots=True, kw_only=True)
class Imperfection:
    """What the fitted model does not know.

    Attributes:
        offset_x, offset_y: of the detector [pixels].
        response_rms, response_seed: of the pixels' sensitivities, 1 + rms N(0, 1).
        jitter_as: standard deviation of the pointing in each direction [arcsec].
    """

    offset_x: float = 0.0
    offset_y: float = 0.0
    response_rms: float = 0.0
    response_seed: int = 1
    jitter_as: float = 0.0


@lru_cache(maxsize=64)
def expected(model: TwoPlaneModel, theta: tuple[float, ...], imperfection: Imperfection) -> Float[np.ndarray, "n n"]:
    """Expected electrons of an imperfect telescope. Read-only: it is kept for the next noise."""
    at = np.array(theta)
    scale = at[_INDEX["plate_scale"]]
    at[_INDEX["x"]] += imperfection.offset_x * scale
    at[_INDEX["y"]] += imperfection.offset_y * scale
    found = _blurred(model, at, imperfection.jitter_as) if imperfection.jitter_as > 0 else _image(model, at)
    if imperfection.response_rms > 0:
        rng = np.random.default_rng(imperfection.response_seed)
        found = found * (1.0 + imperfection.response_rms * rng.standard_normal(found.shape))
    found.setflags(write=False)
    return found


def noisy(
    mean: Float[np.ndarray, "n n"], read_noise_e: float, rng: int | np.random.Generator
) -> Float[np.ndarray, "n n"]:
    """Electrons with photon noise and read noise: Poisson(mean), then + read_noise N(0, 1)."""
    rng = np.random.default_rng(rng)
    photons = rng.poisson(mean).astype(np.float64)
    return photons + read_noise_e * rng.standard_normal(mean.shape)


def _image(model: TwoPlaneModel, theta: np.ndarray) -> np.ndarray:
    return np.array(compiled(model)(theta))


def _blurred(model: TwoPlaneModel, theta: np.ndarray, sigma_as: float) -> np.ndarray:
    """The image on the fine grid, convolved with a Gaussian that is exact on that grid, then summed over pixels."""
    n, points = model.design.image_pixels, model.design.oversample
    fine = replace(model, design=replace(model.design, image_pixels=n * points, oversample=1))
    at = theta.copy()
    at[_INDEX["plate_scale"]] /= points
    background, at[-1] = at[-1], 0.0
    k = np.arange(n * points)
    kernel = np.exp(-0.5 * ((k[:, None] - k[None, :]) * at[_INDEX["plate_scale"]] / sigma_as) ** 2)
    kernel /= kernel[len(k) // 2].sum()
    blurred = kernel @ _image(fine, at) @ kernel.T
    return blurred.reshape(n, points, n, points).sum(axis=(1, 3)) + background
