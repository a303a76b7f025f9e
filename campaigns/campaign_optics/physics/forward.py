"""The image of point stars behind a pupil: two planes, joined by a Fourier sum over matrices.

E(α) = (Δα D)/(N λ) Σ_u A(u) exp(2πi W(u)/λ) exp(−2πi (α − α⋆)·u/λ), and an image is Σ_⋆ F_⋆ mean_λ |E|², summed over
the points of a pixel. Both grids lie symmetric about 0. So the sum over u parts into cosines of the even and sines of
the odd halves of the field, all of them real: a quarter of the multiplications of the complex sum over the whole grid,
and no grid of the focal plane is ever turned round before its pixels are summed. A star's place is a tilt of the field,
which is a product of two vectors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from campaign.science import InvalidValue
from campaign_optics.physics import pupil, zernike
from campaign_optics.physics.constants import ARCSEC, NM
from campaign_optics.physics.designs import Design


@dataclass(frozen=True, eq=False)
class Optics:
    """What an image needs that no parameter changes. Arrays over the pupil are in the order of `folded`.

    Attributes:
        amplitude: of light, (N, N); Σ A² = 1.
        path: that the mask adds [m], (N, N).
        disc: where the polynomials of the primary mirror are not zero, (N, N).
        primary, secondary: coefficients of y^b x^a of each mirror's Zernike polynomials, (n, p, p).
    """

    design: Design
    amplitude: np.ndarray
    path: np.ndarray
    disc: np.ndarray
    primary: np.ndarray
    secondary: np.ndarray


def folded(n: int) -> np.ndarray:
    """Order of a symmetric grid: from the centre up, then from the centre down, so that i and i + n/2 are opposite."""
    return np.concatenate([np.arange(n // 2, n), np.arange(n // 2 - 1, -1, -1)])


@lru_cache(maxsize=16)
def optics(design: Design, mask: str = "B") -> Optics:
    """The optics of a design: made once.

    Raises:
        UnknownName: no such mask.
        InvalidValue: a grid with an odd number of pixels, which has no two halves.
    """
    for name in ("pupil_pixels", "image_pixels"):
        if getattr(design, name) % 2 or getattr(design, name) < 2:
            raise InvalidValue(f"`{name}` is {getattr(design, name)}", hint="an even number")
    order = folded(design.pupil_pixels)
    turned = np.ix_(order, order)
    return Optics(
        design=design,
        amplitude=pupil.aperture(design)[turned],
        path=pupil.mask(mask, design)[turned],
        disc=pupil.disc(design)[turned].astype(np.float64),
        primary=zernike.polynomials(design.primary_noll),
        secondary=zernike.polynomials(design.secondary_noll),
    )


def image(
    optics: Optics,
    *,
    stars: Float[Array, "s 2"],
    fluxes: Float[Array, " s"],
    plate_scale: Float[Array, ""],
    primary_nm: Float[Array, " m"],
    secondary_nm: Float[Array, " k"] | None = None,
    background: Float[Array, ""] | float = 0.0,
) -> Float[Array, "n n"]:
    """Expected electrons in each pixel, [row = y, column = x].

    Args:
        optics: telescope and grids.
        stars: places x, y [arcsec].
        fluxes: photons of each star.
        plate_scale: of a pixel [arcsec].
        primary_nm: coefficients of the primary mirror's Zernike polynomials, unit root mean square over the disc.
        secondary_nm: those of the secondary mirror, on which each star's beam has its own place: its polynomials go on
            beyond the edge of the disc. None leaves it out.
        background: electrons in each pixel.

    Source: 1.2 of the specification of the two-plane model; Soummer et al. 2007, Opt. Express 15, 15935 (the Fourier
    sum). Checked: tests/oracle/test_optics_golden.py, sums to 1e-10.
    """
    design = optics.design
    at = stars * ARCSEC
    edge, disc, mask = (jnp.asarray(own, at.dtype) for own in (_edge(design), optics.disc, optics.path))
    path = disc * _wavefront(optics.primary, primary_nm, edge, edge) + mask
    own = None
    if secondary_nm is not None:
        shift = at * design.footprint_shift
        own = jnp.stack([_wavefront(optics.secondary, secondary_nm, edge + dx, edge + dy) for dx, dy in shift])

    def at_wavelength(wavelength: Array) -> Array:
        return _intensity(optics, wavelength, at, fluxes, plate_scale * ARCSEC, path, own)

    parts = jax.lax.map(
        at_wavelength, jnp.asarray(design.wavelengths, at.dtype)
    )  # compiled once, whatever their number
    return _unfolded(parts.mean(axis=0)) + background


def _edge(design: Design) -> np.ndarray:
    """Coordinates over the pupil in radii, folded."""
    return pupil.coordinates(design.pupil_pixels, 2.0)[folded(design.pupil_pixels)]


def _wavefront(polynomials: np.ndarray, nm: Array, x: Array, y: Array) -> Array:
    """Σ_j c_j Z_j(x, y) over the grid of two vectors [m]."""
    order = polynomials.shape[-1] - 1
    return _powers(y, order).T @ jnp.tensordot(nm * NM, jnp.asarray(polynomials, nm.dtype), 1) @ _powers(x, order)


def _powers(x: Array, order: int) -> Array:
    """1, x, x² … of a vector, (order + 1, n)."""
    rows = [jnp.ones_like(x)]
    for _ in range(order):
        rows.append(rows[-1] * x)
    return jnp.stack(rows)


def _intensity(
    optics: Optics,
    wavelength: Array,
    stars: Array,
    fluxes: Array,
    plate_scale: Array,
    path: Array,
    own: Array | None,
) -> Float[Array, "4 n n"]:
    """Σ_⋆ F_⋆ |E|² at one wavelength, summed over the points of pixels: a₊, b₊, a₋, b₋ of `_unfolded`."""
    design = optics.design
    h = design.pupil_pixels // 2
    step = design.diameter / design.pupil_pixels
    # fields of all stars, tilted to their places: exp(2πi (W + α⋆·u)/λ)
    u = jnp.asarray(pupil.coordinates(design.pupil_pixels, design.diameter)[h:], stars.dtype)
    tilt = 2.0 * math.pi / wavelength * stars[:, :, None] * u[None, None, :]
    cos, sin = jnp.cos(tilt), jnp.sin(tilt)
    cos, sin = jnp.concatenate([cos, cos], -1), jnp.concatenate([sin, -sin], -1)
    (cx, cy), (sx, sy) = cos.swapaxes(0, 1), sin.swapaxes(0, 1)
    tr = cy[:, :, None] * cx[:, None, :] - sy[:, :, None] * sx[:, None, :]
    ti = sy[:, :, None] * cx[:, None, :] + cy[:, :, None] * sx[:, None, :]
    phase = 2.0 * math.pi / wavelength * (path[None] if own is None else path[None] + own)
    amplitude = jnp.asarray(optics.amplitude, stars.dtype)[None]
    fr, fi = amplitude * jnp.cos(phase), amplitude * jnp.sin(phase)
    field = jnp.stack([fr * tr - fi * ti, fr * ti + fi * tr])  # [part, star, y, x]
    # even and odd halves
    even_y, odd_y = field[:, :, :h] + field[:, :, h:], field[:, :, :h] - field[:, :, h:]
    halves = [half for f in (even_y, odd_y) for half in (f[..., :h] + f[..., h:], f[..., :h] - f[..., h:])]
    # the Fourier sum
    k = jnp.arange(design.image_pixels * design.oversample // 2, dtype=stars.dtype) + 0.5
    pitch = plate_scale / design.oversample
    angle = 2.0 * math.pi / wavelength * pitch * (k[:, None] * u[None, :])
    c, s = jnp.cos(angle), jnp.sin(angle)
    ee, eo, oe, oo = (
        jnp.einsum("ky,psyx,lx->kpsl", left, half, right, optimize=[(0, 1), (0, 1)])
        for half, (left, right) in zip(halves, ((c, c), (c, s), (s, c), (s, s)), strict=True)
    )
    weight = fluxes * (pitch * step / wavelength) ** 2
    parts = []
    for P, Q in ((ee - oo, eo + oe), (ee + oo, eo - oe)):
        a = jnp.sum(P * P + Q * Q, axis=1)
        b = 2.0 * (P[:, 0] * Q[:, 1] - P[:, 1] * Q[:, 0])
        parts += [jnp.einsum("ksl,s->kl", a, weight), jnp.einsum("ksl,s->kl", b, weight)]
    half_pixels, points = design.image_pixels // 2, design.oversample
    return jnp.stack(parts).reshape(4, half_pixels, points, half_pixels, points).sum(axis=(2, 4))


def _unfolded(parts: Float[Array, "4 h h"]) -> Float[Array, "n n"]:
    """The image of its quadrants a₊ ± b₊ (signs of x and y agree; both below 0: −) and a₋ ± b₋ (x > 0 > y: +)."""
    a, b, c, d = parts
    upper = jnp.concatenate([(c - d)[:, ::-1], a + b], axis=1)
    lower = jnp.concatenate([(a - b)[:, ::-1], c + d], axis=1)
    return jnp.concatenate([lower[::-1], upper], axis=0)
