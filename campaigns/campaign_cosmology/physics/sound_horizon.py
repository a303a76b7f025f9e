"""The comoving sound horizon r_s(z) = ∫₀^a c_s da / (H0 √f), with f = a⁴E² and c_s = c / √(3 (1 + R_b a))."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from campaign_cosmology.physics.background import Background, Expansion, a4_e2
from campaign_cosmology.physics.constants import C_KM_S
from campaign_cosmology.physics.quadrature import gauss_legendre

Scalar = Float[Array, ""]
LONG = gauss_legendre(16)
SHORT = gauss_legendre(6)


def _panel(bg: Background, a_low: Scalar | float, a_high: Scalar, rule, expansion: Expansion) -> Scalar:
    """∫ c_s da / (H0 √f) by Gauss–Legendre in y = √(a + a_eq), a_eq = Ω_r/Ω_m, all neutrinos massless.

    In y the square-root branch at a = −a_eq, which lies close to the path, is gone: 2y/√(Ω_m a + Ω_r) is constant.
    """
    nodes, weights = rule
    a_eq = bg.a_equality
    low = jnp.sqrt(a_low + a_eq)
    width = jnp.sqrt(a_high + a_eq) - low
    y = low + width * nodes
    a = y * y - a_eq
    speed_over_rate = 2.0 * y / jnp.sqrt(3.0 * (1.0 + bg.Rb * a) * a4_e2(bg, a, expansion))
    return C_KM_S / bg.H0 * width * jnp.sum(weights * speed_over_rate)


def sound_horizon(bg: Background, z: Scalar, expansion: Expansion) -> Scalar:
    """r_s(z) [Mpc], from exactly a = 0.

    Source: Eisenstein & Hu 1998, ApJ 496, 605, eq. 6, by quadrature. Checked: golden_background (30 digits) to 1e-12.
    """
    return _panel(bg, 0.0, 1.0 / (1.0 + z), LONG, expansion)


def sound_horizon_between(bg: Background, z_high: Scalar, z_low: Scalar, expansion: Expansion) -> Scalar:
    """r_s(z_low) − r_s(z_high) [Mpc]: the short way between last scattering and drag."""
    return _panel(bg, 1.0 / (1.0 + z_high), 1.0 / (1.0 + z_low), SHORT, expansion)
