"""The pupil: what lets light through, and the mask that shifts its phase."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from campaign.science import UnknownName, nearest
from campaign_optics.physics.designs import Design

_FINE = 4  # points a pixel and axis of the grid on which edges are cut


def coordinates(n: int, diameter: float) -> Float[np.ndarray, " n"]:
    """Centres of n pixels across the pupil: (i − (n−1)/2) D/n [m]."""
    return (np.arange(n) - 0.5 * (n - 1)) * (diameter / n)


def aperture(design: Design) -> Float[np.ndarray, "n n"]:
    """Amplitude of light over the pupil, Σ A² = 1: the disc r < D/2 without the obscuration r ≤ d/2 and the struts.

    A strut at the angle a covers X cos a + Y sin a > 0, |−X sin a + Y cos a| < w/2. Edges are cut on a grid four
    times finer, of which each pixel has the mean.
    """
    n = design.pupil_pixels
    u = coordinates(_FINE * n, design.diameter)
    x, y = u[None, :], u[:, None]
    r = np.hypot(x, y)
    open_ = (r < 0.5 * design.diameter) & (r > 0.5 * design.obscuration if design.obscuration > 0 else True)
    for k in range(design.struts):
        a = math.radians(design.strut_rotation_deg + 360.0 * k / design.struts)
        along, across = x * math.cos(a) + y * math.sin(a), -x * math.sin(a) + y * math.cos(a)
        open_ &= ~((along > 0) & (np.abs(across) < 0.5 * design.strut_width))
    mean = open_.reshape(n, _FINE, n, _FINE).mean(axis=(1, 3))
    return mean / math.sqrt((mean**2).sum())


def disc(design: Design) -> np.ndarray:
    """Whether a pixel's centre lies within r ≤ D/2, where Zernike polynomials are not zero."""
    u = coordinates(design.pupil_pixels, design.diameter)
    return np.hypot(u[None, :], u[:, None]) <= 0.5 * design.diameter


def _spiral(threshold: float) -> Callable[[Design], np.ndarray]:
    def pattern(design: Design) -> np.ndarray:
        u = coordinates(design.pupil_pixels, design.diameter)
        x, y = u[None, :], u[:, None]
        phase = 3.0 * np.arctan2(y, x) + 9.0 * math.pi * np.hypot(x, y) / (0.5 * design.diameter)
        return np.cos(phase) > threshold

    return pattern


MASKS: dict[str, Callable[[Design], np.ndarray]] = {
    "none": lambda design: np.zeros((design.pupil_pixels, design.pupil_pixels), bool),
    "A": _spiral(0.0),  # P(−u) = 1 − P(u): the signs of all even Zernike coefficients cannot be told from the image
    "B": _spiral(0.5),
}


def mask(name: str, design: Design) -> Float[np.ndarray, "n n"]:
    """Path difference that a mask adds [m]: P λd/2, with P = 1 where cos(3φ + 9π r/R) > 0.5 (mask B) or 0 (mask A).

    Raises:
        UnknownName: with the nearest name.
    """
    if name not in MASKS:
        raise UnknownName(f"unknown mask `{name}`", hint=nearest(name, MASKS))
    return MASKS[name](design) * (0.5 * design.mask_wavelength)
