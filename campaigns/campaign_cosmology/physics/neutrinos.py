"""One neutrino with a mass: its energy density from the relativistic past to today.

    ρ(a) a⁴ / ρ_massless = F(y)/F(0),   F(y) = ∫₀^∞ x² √(x² + y²) / (eˣ + 1) dx,   F(0) = 7π⁴/120,   y = a m / (k T_ν),
    T_ν = (4/11)^(1/3) (N_eff/3)^(1/4) T_cmb

The temperature carries the share of N_eff that is not instantaneous decoupling, so that the early density is that of
N_eff/3 massless species and Ω_ν h² = m / 93.0 eV today, as in CAMB.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from campaign_cosmology.physics.quadrature import gauss_legendre

Scalar = Float[Array, ""]
BOLTZMANN_EV = 8.617333262e-5  # k [eV/K], exact (SI 2019)
_LAST = 44.0  # where x² e^−x is below 1e-14 of its integral
_N = 36  # to 3e-12 for every y


def _rule() -> tuple[np.ndarray, np.ndarray]:
    """Nodes x and weights of ∫ x² … / (eˣ + 1) dx / F(0), by Gauss–Legendre in √x, for the sake of small y."""
    t, w = gauss_legendre(_N)
    x = _LAST * t * t
    return x, w * 2.0 * _LAST * t * x * x / (np.exp(x) + 1.0) * (120.0 / (7.0 * np.pi**4))


_X, _WEIGHTS = _rule()


def temperature_ev(Tcmb: Scalar, Neff: Scalar) -> Scalar:
    """k T_ν [eV] today."""
    return BOLTZMANN_EV * Tcmb * (4.0 / 11.0) ** (1.0 / 3.0) * (Neff / 3.0) ** 0.25


def density_ratio(y: Float[Array, " n"]) -> Float[Array, " n"]:
    """F(y)/F(0) of y = a m/(k T_ν) ≥ 0: energy density over that of a massless species.

    Source: Komatsu et al. 2011, arXiv:1001.4538, eq. 22-24, by quadrature.
    Checked: tests/oracle/test_cosmology_dark_energy.py, against scipy.integrate.quad to 1e-10.
    """
    y = jnp.asarray(y)
    energy = jnp.sqrt(jnp.square(_X)[None, :] + jnp.square(jnp.ravel(y))[:, None])
    return (energy @ jnp.asarray(_WEIGHTS)).reshape(y.shape)
