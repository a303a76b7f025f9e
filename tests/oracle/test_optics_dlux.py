"""The Zernike polynomials and the image of a single star, against dLux where it is installed."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest

dlux = pytest.importorskip("dLux", reason="dLux is not installed: pip install dLux")

from campaign.science import start_jax  # noqa: E402
from campaign_optics.physics import designs, forward, pupil, zernike  # noqa: E402
from campaign_optics.physics.constants import ARCSEC  # noqa: E402

start_jax()


def test_zernike_polynomials():
    utils = pytest.importorskip("dLux.utils")
    n = 64
    u = pupil.coordinates(n, 2.0)
    grid = np.stack(np.meshgrid(u, u))
    inside = np.hypot(*grid) <= 1.0
    for j in range(4, 16):
        table = zernike.polynomials((j,))[0]
        power = np.arange(len(table))[:, None, None]
        own = np.einsum("ba,bij,aij->ij", table, grid[1] ** power, grid[0] ** power)
        theirs = np.asarray(utils.zernike(j, jnp.asarray(grid), 2.0))
        assert np.abs((own - theirs)[inside]).max() < 1e-12


def test_the_image_of_a_star():
    design = replace(
        designs.design("two-plane"), image_pixels=32, pupil_pixels=64, oversample=1, n_wavelengths=1, obscuration=0.025
    )
    layer = dlux.layers.TransmissiveLayer(pupil.aperture(design), normalise=True)
    optics = dlux.AngularOpticalSystem(64, design.diameter, [("pupil", layer)], 32, 0.35)
    theirs = np.asarray(optics.propagate_mono(jnp.asarray(550e-9), offset=jnp.array([1.3, -0.7]) * ARCSEC))
    own = forward.image(
        forward.optics(design, "none"),
        stars=jnp.array([[1.3, -0.7]]),
        fluxes=jnp.ones(1),
        plate_scale=jnp.asarray(0.35),
        primary_nm=jnp.zeros(0),
    )
    assert np.abs(np.asarray(own) - theirs).max() < 1e-10 * theirs.max()
