"""The image: against the complex Fourier sum over the whole grid, written out, and against Parseval."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest

from campaign.errors import InvalidValue, UnknownName
from campaign_optics.physics import designs, forward, pupil, zernike
from campaign_optics.physics.constants import ARCSEC

SMALL = replace(
    designs.design("testbed"),
    image_pixels=12,
    pupil_pixels=16,
    oversample=3,
    n_wavelengths=2,
    primary_noll=(4, 5, 7, 11),
    secondary_noll=(4, 8),
)
STARS, FLUXES, SCALE = np.array([[1.1, -0.4], [-0.9, 0.7]]), np.array([3e4, 1e4]), 0.36
PRIMARY, SECONDARY = np.array([20.0, -35.0, 10.0, 25.0]), np.array([40.0, -30.0])


def wavefront(noll, nm, x, y):
    """Σ c_j Z_j by radius and angle."""
    total = np.zeros(np.broadcast(x, y).shape)
    for j, c in zip(noll, nm, strict=True):
        table = zernike.polynomials((j,))[0]
        total += c * 1e-9 * sum(table[b, a] * y**b * x**a for b in range(len(table)) for a in range(len(table)))
    return total


def summed(design, mask):
    """The model as its definition says: complex exponentials over every pixel of both grids."""
    n, points, N = design.image_pixels, design.oversample, design.pupil_pixels
    u = pupil.coordinates(N, design.diameter)
    alpha = (np.arange(n * points) - 0.5 * (n * points - 1)) * SCALE * ARCSEC / points
    inside, radius = pupil.disc(design), 0.5 * design.diameter
    image = np.zeros((n * points, n * points))
    for star, flux in zip(STARS * ARCSEC, FLUXES, strict=True):
        x, y = u[None, :] / radius, u[:, None] / radius
        dx, dy = star * design.footprint_shift
        path = wavefront(design.primary_noll, PRIMARY, x, y) * inside + pupil.mask(mask, design)
        path += wavefront(design.secondary_noll, SECONDARY, x + dx, y + dy)
        for wavelength in design.wavelengths:
            field = pupil.aperture(design) * np.exp(2j * np.pi * path / wavelength)
            mx = np.exp(-2j * np.pi * (alpha[:, None] - star[0]) * u / wavelength)
            my = np.exp(-2j * np.pi * (alpha[:, None] - star[1]) * u / wavelength)
            e = my @ field @ mx.T * (design.diameter / N) * (SCALE * ARCSEC / points) / wavelength
            image += flux * np.abs(e) ** 2 / design.n_wavelengths
    return image.reshape(n, points, n, points).sum(axis=(1, 3)) + 7.0


@pytest.mark.parametrize("mask", ["none", "A", "B"])
def test_it_is_the_fourier_sum(mask):
    found = forward.image(
        forward.optics(SMALL, mask),
        stars=jnp.asarray(STARS),
        fluxes=jnp.asarray(FLUXES),
        plate_scale=jnp.asarray(SCALE),
        primary_nm=jnp.asarray(PRIMARY),
        secondary_nm=jnp.asarray(SECONDARY),
        background=7.0,
    )
    expected = summed(SMALL, mask)
    assert np.abs(np.asarray(found) - expected).max() < 1e-12 * expected.max()


def test_a_wide_field_has_all_of_the_light():
    """Parseval: with a field of a whole period of the sum, λ N/D, |E|² adds up to 1."""
    n = 64
    wide = replace(SMALL, image_pixels=n, oversample=1, n_wavelengths=1, secondary_noll=())
    period = 550e-9 * wide.pupil_pixels / wide.diameter / ARCSEC
    found = forward.image(
        forward.optics(wide, "B"),
        stars=jnp.zeros((1, 2)),
        fluxes=jnp.ones(1),
        plate_scale=jnp.asarray(period / n),
        primary_nm=jnp.asarray(PRIMARY),
    )
    assert float(found.sum()) == pytest.approx(1.0, rel=1e-12)


def test_the_folded_order_pairs_opposite_points():
    order = forward.folded(6)
    u = pupil.coordinates(6, 1.0)[order]
    assert order.tolist() == [3, 4, 5, 2, 1, 0]
    assert u[:3] == pytest.approx(-u[3:])


def test_the_aperture_has_hole_and_struts():
    own = replace(SMALL, pupil_pixels=128)
    amplitude = pupil.aperture(own)
    u = pupil.coordinates(128, own.diameter)
    r, angle = np.hypot(u[None, :], u[:, None]), np.degrees(np.arctan2(u[:, None], u[None, :])) % 90.0
    assert (amplitude**2).sum() == pytest.approx(1.0, rel=1e-14)
    assert not amplitude[(r < 0.0115) | (r > 0.0465)].any()
    assert not amplitude[(r > 0.02) & (np.abs(angle - 45.0) < 0.5)].any()
    assert (amplitude[(r > 0.015) & (r < 0.043) & (np.abs(angle - 45.0) > 10.0)] > 0).all()


def test_what_is_refused():
    with pytest.raises(InvalidValue, match="`pupil_pixels` is 15"):
        forward.optics(replace(SMALL, pupil_pixels=15))
    with pytest.raises(UnknownName, match="unknown mask `C`"):
        forward.optics(SMALL, "C")
