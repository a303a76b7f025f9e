"""Redshifts of last scattering (z*) and of baryon drag (z_d), and closed forms of r_d, all by name.

Fits to recombination codes under standard physics. For PBUF they are an approximation: they do not know k_sat.
wb = Ω_b h², wm = Ω_m h². Accuracies: against CAMB 2.0.5 (specification section 2.2).
"""

from __future__ import annotations

import math

import jax.numpy as jnp
from jaxtyping import Array, Float

Scalar = Float[Array, ""]


def _power(log_x: Scalar, p: float) -> Scalar:
    """x^p from ln x: one exponential, where the derivative of a general power would compile into several."""
    return jnp.exp(p * log_x)


def z_star_hs96(wb: Scalar, wm: Scalar) -> Scalar:
    """Hu & Sugiyama 1996, ApJ 471, 542, eq. E-1. +0.18 % against CAMB."""
    b, m = jnp.log(wb), jnp.log(wm)
    g1 = 0.0783 * _power(b, -0.238) / (1.0 + 39.5 * _power(b, 0.763))
    g2 = 0.560 / (1.0 + 21.1 * _power(b, 1.81))
    return 1048.0 * (1.0 + 0.00124 * _power(b, -0.738)) * (1.0 + g1 * jnp.exp(g2 * m))


def z_star_hs96c(wb: Scalar, wm: Scalar) -> Scalar:
    """HS96 / 1.00179: calibrated to CAMB here; within 0.025 % for wb 0.020–0.025, wm 0.11–0.18. Not a published fit."""
    return z_star_hs96(wb, wm) / 1.00179


def z_star_planck18(wb: Scalar, wm: Scalar) -> Scalar:
    """The reference pipeline's power law; 0.01 % at the Planck 2018 point, ±0.3 % at wb 0.020 and 0.025."""
    return 1089.80 * jnp.exp(-0.004 * jnp.log(wb / 0.02237) + 0.010 * jnp.log(wm / 0.1424))


def z_star_fixed(wb: Scalar, wm: Scalar) -> Scalar:
    """1089.80, whatever the parameters."""
    return 1089.80 + 0.0 * (wb + wm)


def z_star_eh98(wb: Scalar, wm: Scalar) -> Scalar:
    """1.04 z_d(EH98): the reference pipeline's stand-in, 2.6 % low. Kept to reproduce old numbers; warned about."""
    return 1.04 * z_drag_eh98(wb, wm)


def _eisenstein_hu(wb: Scalar, wm: Scalar, amplitude: float, slope: float) -> Scalar:
    b, m = jnp.log(wb), jnp.log(wm)
    b1 = 0.313 * _power(m, -0.419) * (1.0 + 0.607 * _power(m, 0.674))
    b2 = 0.238 * _power(m, 0.223)
    return amplitude * _power(m, 0.251) / (1.0 + slope * _power(m, 0.828)) * (1.0 + b1 * jnp.exp(b2 * b))


def z_drag_eh98(wb: Scalar, wm: Scalar) -> Scalar:
    """Eisenstein & Hu 1998, ApJ 496, 605, eq. 4. −3.7 % against CAMB: r_d 2.5 % too large for BAO."""
    return _eisenstein_hu(wb, wm, 1291.0, 0.659)


def z_drag_pbuf1345(wb: Scalar, wm: Scalar) -> Scalar:
    """EH98 with the legacy code's 1345 and 0.650; r_d −0.29 %."""
    return _eisenstein_hu(wb, wm, 1345.0, 0.650)


def z_drag_aan21(wb: Scalar, wm: Scalar) -> Scalar:
    """(1 + 428.169 wb^0.256459 wm^0.616388 + 925.56 wm^0.751615) / wm^0.714129.

    Aizpuru, Arjona & Nesseris 2021, arXiv:2106.00428. r_d within 0.008 % of CAMB.
    """
    b, m = jnp.log(wb), jnp.log(wm)
    return (1.0 + 428.169 * jnp.exp(0.256459 * b + 0.616388 * m) + 925.56 * _power(m, 0.751615)) * _power(m, -0.714129)


def r_drag_aub15(wb: Scalar, wm: Scalar, Neff: Scalar) -> Scalar:
    """Aubourg et al. 2015, arXiv:1411.1074, eq. 16, massless neutrinos [Mpc]. ≤ 0.3 %."""
    scale = 55.154 * math.exp(-72.3 * 0.0006**2)
    return scale * jnp.exp(-0.25351 * jnp.log(wm) - 0.12807 * jnp.log(wb)) + 0.0 * Neff


def r_drag_bgv23(wb: Scalar, wm: Scalar, Neff: Scalar) -> Scalar:
    """Brieden, Gil-Marín & Verde 2023, arXiv:2212.04522 [Mpc]. 0.1 % near Planck 2018, 1 % at wm = 0.18."""
    logs = -0.13 * jnp.log(wb / 0.02236) - 0.23 * jnp.log(wm / 0.1432) - 0.1 * jnp.log(Neff / 3.04)
    return 147.05 * jnp.exp(logs)


Z_STAR = {
    "PLANCK18": z_star_planck18,
    "HS96": z_star_hs96,
    "HS96C": z_star_hs96c,
    "FIXED": z_star_fixed,
    "EH98": z_star_eh98,
}
Z_DRAG = {"AAN21": z_drag_aan21, "EH98": z_drag_eh98, "PBUF1345": z_drag_pbuf1345}
R_DRAG = {"AUB15": r_drag_aub15, "BGV23": r_drag_bgv23}  # instead of the integral; blind to k_sat
