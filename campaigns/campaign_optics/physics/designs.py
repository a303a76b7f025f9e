"""The telescopes: their geometry, their detector and their band, and what follows from these."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from campaign.science import UnknownName, nearest
from campaign_optics.physics.constants import ARCSEC

SPECTRAL_FLUX_DENSITY = 1.7227e17  # of alpha Centauri A and B together [photons s⁻¹ m⁻² m⁻¹]
NOLL = tuple(range(4, 12))  # defocus to primary spherical aberration


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """A telescope. Lengths in metres unless the name says otherwise.

    Attributes:
        diameter: of the pupil, the primary mirror.
        obscuration: diameter of the hole that the secondary mirror makes in it.
        focal_1, focal_2, separation: of the two mirrors and between them; None where there is one plane only.
        pixel_pitch: of the detector; None where the plate scale is given.
        plate_scale: arcseconds per pixel, what a fit starts from.
        wavelength, bandwidth, n_wavelengths: of the band; wavelengths are evenly spaced from edge to edge.
        struts, strut_width, strut_rotation_deg: the first strut's angle, the others follow evenly.
        pupil_pixels, image_pixels, oversample: sizes of the pupil grid, of the image, and points a pixel and axis.
        primary_noll, secondary_noll: Noll indices of the Zernike polynomials that each mirror has.
        mask_wavelength: for which the mask of the pupil shifts by half a wavelength.
    """

    diameter: float
    obscuration: float
    focal_1: float | None = None
    focal_2: float | None = None
    separation: float | None = None
    pixel_pitch: float | None = None
    plate_scale: float
    wavelength: float = 550e-9
    bandwidth: float = 110e-9
    n_wavelengths: int = 3
    struts: int = 4
    strut_width: float = 2e-3
    strut_rotation_deg: float = 45.0
    pupil_pixels: int = 256
    image_pixels: int = 256
    oversample: int = 3
    primary_noll: tuple[int, ...] = NOLL
    secondary_noll: tuple[int, ...] = NOLL
    mask_wavelength: float = 550e-9

    @property
    def wavelengths(self) -> tuple[float, ...]:
        """λ0 − Δλ/2 … λ0 + Δλ/2, ends included [m]; the middle one where there is one."""
        n = self.n_wavelengths
        if n == 1:
            return (self.wavelength,)
        return tuple(self.wavelength + self.bandwidth * (i / (n - 1) - 0.5) for i in range(n))

    @property
    def footprint_shift(self) -> float:
        """How far the beam of a star at 1 rad lies off on the secondary mirror, in radii of the beam there.

        s / R₂, R₂ = (D/2)(1 − s/f₁), with s the distance of the mirrors.
        """
        if self.focal_1 is None or self.separation is None:
            return 0.0
        return self.separation / (0.5 * self.diameter * (1.0 - self.separation / self.focal_1))


def focal_length(focal_1: float, focal_2: float, separation: float) -> float:
    """Of two mirrors: 1/f = 1/f₁ + 1/f₂ − s/(f₁ f₂) [m]."""
    return 1.0 / (1.0 / focal_1 + 1.0 / focal_2 - separation / (focal_1 * focal_2))


def plate_scale(pixel_pitch: float, focal: float) -> float:
    """Angle of a pixel, pitch / f [arcsec]."""
    return pixel_pitch / focal / ARCSEC


def log_flux_total(
    diameter: float,
    bandwidth: float,
    exposure_s: float,
    throughput: float = 1.0,
    spectral_flux_density: float = SPECTRAL_FLUX_DENSITY,
) -> float:
    """log10 of the photons that reach the detector in an exposure: Φ Δλ π (D/2)² t T."""
    area = math.pi * (0.5 * diameter) ** 2
    return math.log10(spectral_flux_density * bandwidth * area * exposure_s * throughput)


def raw_fluxes(log_flux: Any, contrast: Any) -> tuple[Any, Any]:
    """Photons of the stars A and B: F c/(1+c) and F/(1+c) with F = 10^log_flux and c the ratio A:B."""
    total = 10.0**log_flux
    return total * contrast / (1.0 + contrast), total / (1.0 + contrast)


def _two_mirrors(focal_1: float, focal_2: float, separation: float, pixel_pitch: float, **others: Any) -> Design:
    scale = plate_scale(pixel_pitch, focal_length(focal_1, focal_2, separation))
    mirrors = {"focal_1": focal_1, "focal_2": focal_2, "separation": separation}
    return Design(obscuration=0.025, plate_scale=scale, pixel_pitch=pixel_pitch, **mirrors, **others)


DESIGNS = {
    "testbed": _two_mirrors(0.35796, -0.041935, 0.320, 6.5e-6, diameter=0.09),
    "flight": _two_mirrors(
        0.604353, -0.0545, 0.55413, 4.6e-6, diameter=0.22, bandwidth=41e-9, struts=3, strut_rotation_deg=-90.0
    ),
    "two-plane": Design(
        diameter=0.09,
        obscuration=0.0,
        plate_scale=0.3547,
        strut_rotation_deg=-45.0,
        primary_noll=(),
        secondary_noll=(),
    ),
}


def design(name: str) -> Design:
    """A telescope by name.

    Raises:
        UnknownName: with the nearest one.
    """
    if name not in DESIGNS:
        raise UnknownName(f"unknown design `{name}`", hint=nearest(name, DESIGNS))
    return DESIGNS[name]
