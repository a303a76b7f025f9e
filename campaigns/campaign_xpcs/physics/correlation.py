"""The two-time correlation of a pair of frames: diffusion damps it, shear makes it oscillate with the angle.

    c2 = offset + contrast · h,   h = exp(−q² ∫J) · s(φ, ∫γ̇)

Two shear factors are in use, and results differ by more than a factor of two in the shear rate:

    physical          s = (sin X / X)²,   X = ½ q L cos(φ0 − φ) ∫γ̇             the derivation: |∫ e^{iqyΓ} dy / L|²
    homodyne-compat   s = (sin x / x)⁴,   x = q L cos(φ0 − φ) ∫γ̇ / (2π)        what homodyne and xpcsjax compute
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

_NEAR = 0.05  # |x| below which sin x / x and its slope are series


class Shear(NamedTuple):
    """s = (sin x / x)^power with x = factor · q L cos(φ0 − φ) ∫γ̇."""

    factor: float
    power: int


SHEAR_MODELS = {
    "physical": Shear(0.5, 2),
    "homodyne-compat": Shear(0.5 / np.pi, 4),
}  # leading order: 1 − power · factor² · …/3, so γ̇_compat ≈ (π/√2) γ̇_physical


@partial(jax.custom_jvp, nondiff_argnums=(2,))
def decay(u: Float[Array, "*n"], x: Float[Array, "*n"], power: int) -> Float[Array, "*n"]:
    """h = e^(−u) (sin x / x)^power, element by element. Its derivatives cost a cosine and few products.

    Checked: tests/unit/xpcs/test_xpcs_correlation.py against closed forms and finite differences.
    """
    return jnp.exp(-u) * _sinc(x) ** power


@decay.defjvp
def _decay_jvp(power, primals, tangents):
    u, x = primals
    u_dot, x_dot = tangents
    damped, sinc = jnp.exp(-u), _sinc(x)
    lower = damped * sinc ** (power - 1)
    h = lower * sinc
    return h, (power * lower * _sinc_slope(x, sinc)) * x_dot - h * u_dot


def shear_argument(
    q: Float[Array, ""], gap: Float[Array, ""], phi_deg: Float[Array, "*n"], phi0_deg: Float[Array, ""], model: str
) -> Float[Array, "*n"]:
    """x of a unit of ∫γ̇: factor · q L cos(φ0 − φ)."""
    return SHEAR_MODELS[model].factor * q * gap * jnp.cos(jnp.deg2rad(phi0_deg - phi_deg))


def _sinc(x: Float[Array, "*n"]) -> Float[Array, "*n"]:
    square = x * x
    series = 1.0 - square / 6.0 * (1.0 - square / 20.0 * (1.0 - square / 42.0 * (1.0 - square / 72.0)))
    is_near = jnp.abs(x) < _NEAR
    safe = jnp.where(is_near, 1.0, x)
    return jnp.where(is_near, series, jnp.sin(safe) / safe)


def _sinc_slope(x: Float[Array, "*n"], sinc: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """(cos x − sin x / x) / x."""
    square = x * x
    series = -x / 3.0 * (1.0 - square / 10.0 * (1.0 - square / 28.0 * (1.0 - square / 54.0)))
    is_near = jnp.abs(x) < _NEAR
    safe = jnp.where(is_near, 1.0, x)
    return jnp.where(is_near, series, (jnp.cos(safe) - sinc) / safe)
