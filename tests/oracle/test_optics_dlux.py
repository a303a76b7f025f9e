"""Zernike polynomials and images against dLux, where it is installed: pip install dLux. Checked with 0.15.1."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest

from campaign.science import start_jax

start_jax()  # dLux takes its precision from JAX when it is imported
dlux = pytest.importorskip("dLux", reason="dLux is not installed: pip install dLux")

from campaign_optics import TwoPlaneModel  # noqa: E402
from campaign_optics.physics import designs, pupil, zernike  # noqa: E402
from campaign_optics.physics.constants import ARCSEC  # noqa: E402

NOLL = tuple(range(4, 16))


def test_zernike_polynomials():
    utils = pytest.importorskip("dLux.utils")
    n = 64
    u = pupil.coordinates(n, 2.0)
    grid = np.stack(np.meshgrid(u, u))
    inside = np.hypot(*grid) <= 1.0
    for j in NOLL:
        table = zernike.polynomials((j,))[0]
        power = np.arange(len(table))[:, None, None]
        own = np.einsum("ba,bij,aij->ij", table, grid[1] ** power, grid[0] ** power)
        theirs = np.asarray(utils.zernike(j, jnp.asarray(grid), 2.0))
        assert np.abs((own - theirs)[inside]).max() < 1e-12


@pytest.mark.parametrize("mask", ["A", "B"])
def test_the_image_of_a_binary(mask):
    """All of it: aperture, wavefront, mask, three wavelengths, both stars, pixels of 2 x 2 points."""
    utils = pytest.importorskip("dLux.utils")
    n, points = 32, 2
    design = replace(
        designs.design("testbed"),
        image_pixels=n,
        pupil_pixels=64,
        oversample=points,
        primary_noll=NOLL,
        secondary_noll=(),
    )
    nm = 5.0 * np.random.default_rng(7).standard_normal(len(NOLL))
    theta = np.array([4.0, 80.0, 0.5, -0.25, 7.0, 3.2, 0.3549, *nm, 0.0])
    grid = jnp.asarray(np.stack(np.meshgrid(*[pupil.coordinates(64, design.diameter)] * 2)))
    modes = sum(c * 1e-9 * utils.zernike(j, grid, design.diameter) for j, c in zip(NOLL, nm, strict=True))
    path = np.asarray(modes) * pupil.disc(design) + pupil.mask(mask, design)
    layers = [
        ("pupil", dlux.layers.TransmissiveLayer(pupil.aperture(design), normalise=True)),
        ("path", dlux.layers.AberratedLayer(jnp.asarray(path))),
    ]
    optics = dlux.AngularOpticalSystem(64, design.diameter, layers, n * points, theta[6] / points)
    half = 0.5 * theta[0] * np.array([np.sin(np.deg2rad(80.0)), np.cos(np.deg2rad(80.0))])
    theirs = np.zeros((n * points, n * points))
    for side, flux in ((1.0, 3.2 / 4.2), (-1.0, 1.0 / 4.2)):
        at = jnp.asarray((theta[2:4] + side * half) * ARCSEC)
        for wavelength in design.wavelengths:
            theirs += 1e7 * flux / 3.0 * np.asarray(optics.propagate_mono(jnp.asarray(wavelength), offset=at))
    theirs = theirs.reshape(n, points, n, points).sum(axis=(1, 3))
    own = np.asarray(TwoPlaneModel(design, mask).predict(jnp.asarray(theta)))
    assert np.abs(own - theirs).max() < 1e-12 * theirs.max()
