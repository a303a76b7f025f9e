"""Expansion history and distances: differentiable, float64, no loops over redshift.

Everything is written in f(a) = a⁴E²(a), finite at a → 0:

    f = Ω_r + Ω_m a + Ω_k a² + Ω_Λ d(a),   Ω_Λ = 1 − Ω_m − Ω_r − Ω_k,   d(a) = a⁴ρ(a)/ρ(1) of `dark_energy`

    ΛCDM   d = a⁴
    PBUF   f = Ω_r [1 + (k_sat−1) g(a)] + Ω_m a + Ω_k a² + Ω_Λ a⁴ + A a^(4−n_eps) S(a),
           g = 1000a/(1000a+1),  S = 1/(1+(z/z_sat)⁴),  z_sat = 1+1000 k_sat,  A = alpha eps0/√Rmax,
           Ω_Λ = 1 − Ω_m − Ω_k − Ω_r [1 + (k_sat−1)/1.001] − A     so that E(0) = 1 exactly ("normalised")

With a massive neutrino Ω_r counts the two massless ones, Ω_m counts the massive one as it is today, Ω_ν, and

    f = … + (Ω_m − Ω_ν) a + Ω_rel F(a y)/F(0)                                 (`neutrinos`)

Other forms of PBUF: "legacy" (added to ΛCDM without closure, sigma clipped at √ħ; parity with the old code only) and
"manuscript" (alpha [1 − exp(−a/Rmax)] in place of sigma, with closure).

JAX computes in single precision unless told otherwise; importing this module turns double precision on, because
chi2 at z* needs ten digits.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from campaign_cosmology.physics.constants import C_KM_S, CONVENTIONS, SIGMA_CLIP_LEGACY, TCMB_REFERENCE
from campaign_cosmology.physics.dark_energy import LAWS, Law
from campaign_cosmology.physics.neutrinos import density_ratio, temperature_ev
from campaign_cosmology.physics.quadrature import DistanceGrid, gauss_legendre

jax.config.update("jax_enable_x64", True)

Scalar = Float[Array, ""]
SHORT = gauss_legendre(6)  # the short way from the end of the grid to z*; converges like (dz/z)^12
CURVATURE_TERMS = 16  # of sin(√y)/√y as a series in y = −Ω_k x²; |y| ≤ 12 to 1e-16


class Background(NamedTuple):
    """Densities today and what PBUF adds. All scalars.

    Attributes:
        H0: km/s/Mpc. h: H0/100.
        Om0, Or0, Ok0, OL0: matter, radiation, curvature and Λ over critical density today.
        Rb: baryon-to-photon momentum ratio over a, 3 Ω_b h²/(4 ω_γ).
        A, n_eps, k_sat, alpha, Rmax: PBUF; zeros (k_sat 1) in other models.
        Onu0, Orel0: the massive neutrino's density today, and what a massless one would have. y: m/(k T_ν) today.
        theta: the parameters by name, for laws of dark energy.
    """

    H0: Scalar
    h: Scalar
    Om0: Scalar
    Or0: Scalar
    Ok0: Scalar
    OL0: Scalar
    Rb: Scalar
    A: Scalar
    n_eps: Scalar
    k_sat: Scalar
    alpha: Scalar
    Rmax: Scalar
    Onu0: Scalar
    Orel0: Scalar
    y: Scalar
    theta: dict[str, Scalar]

    @property
    def a_equality(self) -> Scalar:
        """Ω_r/Ω_m, all neutrinos massless."""
        return (self.Or0 + self.Orel0) / self.Om0


class Expansion(NamedTuple):
    """Which equations hold. Static: part of what gets compiled.

    Attributes:
        neutrinos: "massless", or "one-massive": one of three has the mass `mnu` [eV].
        dark: dark energy of one's own, in place of the model's.
    """

    model: str = "lcdm"
    form: str = "normalised"
    constants: str = "compat"
    neutrinos: str = "massless"
    dark: Law | None = None

    @property
    def dark_energy(self) -> Law:
        return self.dark or LAWS[self.model]


def background(theta: dict[str, Scalar], expansion: Expansion) -> Background:
    """Densities from parameters.

    Args:
        theta: H0 [km/s/Mpc], Om0, Obh2, Neff, Tcmb [K], Ok0; for PBUF also alpha, Rmax, eps0, n_eps, k_sat; with a
            massive neutrino mnu [eV].
        expansion: model, form and constants.

    Source: specification section 2.2; Planck 2018 VI (arXiv:1807.06209) for the conventions of radiation.
    Checked: tests/oracle/test_cosmology_background.py (Or0, OL0 to 1e-14).
    """
    convention = CONVENTIONS[expansion.constants]
    H0, Om0, Ok0 = theta["H0"], theta["Om0"], theta["Ok0"]
    h = H0 / 100.0
    if convention.equality:
        warmth = (theta["Tcmb"] / 2.7) ** -4
        Or0 = Om0 / (1.0 + 2.5e4 * Om0 * h**2 * warmth)
        Rb = 31500.0 * theta["Obh2"] * warmth
    else:
        omega_gamma = convention.omega_gamma * (theta["Tcmb"] / TCMB_REFERENCE) ** 4
        Or0 = omega_gamma * (1.0 + convention.f_nu * theta["Neff"]) / h**2
        Rb = 0.75 * theta["Obh2"] / omega_gamma
    zero, one = jnp.zeros(()), jnp.ones(())
    Onu0, Orel0, y = zero, zero, zero
    if expansion.neutrinos == "one-massive":
        Orel0 = omega_gamma * convention.f_nu * theta["Neff"] / 3.0 / h**2
        y = theta["mnu"] / temperature_ev(theta["Tcmb"], theta["Neff"])
        Or0, Onu0 = Or0 - Orel0, Orel0 * density_ratio(y)
    OL0 = 1.0 - Om0 - Or0 - Ok0
    if expansion.model != "pbuf":
        return Background(H0, h, Om0, Or0, Ok0, OL0, Rb, zero, zero, one, zero, one, Onu0, Orel0, y, theta)
    alpha, Rmax, k_sat = theta["alpha"], theta["Rmax"], theta["k_sat"]
    A = alpha * theta["eps0"] / jnp.sqrt(Rmax)
    if expansion.form == "normalised":
        OL0 = 1.0 - Om0 - Ok0 - Or0 * (1.0 + (k_sat - 1.0) / 1.001) - A
    elif expansion.form == "manuscript":
        OL0 = OL0 + alpha * jnp.expm1(-1.0 / Rmax)
    elif expansion.form == "legacy":
        A = jnp.clip(A, -SIGMA_CLIP_LEGACY, SIGMA_CLIP_LEGACY)
    return Background(H0, h, Om0, Or0, Ok0, OL0, Rb, A, theta["n_eps"], k_sat, alpha, Rmax, Onu0, Orel0, y, theta)


def a4_e2(bg: Background, a: Float[Array, " n"] | np.ndarray, expansion: Expansion) -> Float[Array, " n"]:
    """a⁴ E²(a); for fixed nodes `a` is a NumPy array and its powers are computed once, at compile time."""
    matter = bg.Om0 * a
    if expansion.neutrinos == "one-massive":
        matter = (bg.Om0 - bg.Onu0) * a + bg.Orel0 * density_ratio(bg.y * a)
    if expansion.model != "pbuf":
        return bg.Or0 + matter + (bg.Ok0 * a**2 + bg.OL0 * expansion.dark_energy(a, bg.theta))
    rest = bg.Ok0 * a**2 + bg.OL0 * a**4
    if expansion.form == "manuscript":
        return bg.Or0 + matter + rest - bg.alpha * jnp.expm1(-a / bg.Rmax) * a**4
    radiation = bg.Or0 * (1.0 + (bg.k_sat - 1.0) * (1000.0 * a / (1000.0 * a + 1.0)))
    # a⁴ S = a⁴ / (1 + ((1−a)/(a z_sat))⁴), written so that it stays finite at a → 0
    b, s = a**4, ((1.0 - a) / (1.0 + 1000.0 * bg.k_sat)) ** 4
    sigma = bg.A * b * b / (b + s)
    if expansion.form == "legacy":
        return jnp.maximum(radiation + matter + rest + sigma, 1e-6 * b)
    log_a = np.log(a) if isinstance(a, np.ndarray) else jnp.log(a)
    return radiation + matter + rest + sigma * jnp.exp(-bg.n_eps * log_a)


def hubble(bg: Background, z: Float[Array, " n"] | np.ndarray, expansion: Expansion) -> Float[Array, " n"]:
    """H(z) [km/s/Mpc] = H0 (1+z)² √f(1/(1+z)); NaN where E² < 0."""
    a = 1.0 / (1.0 + z)
    return bg.H0 * jnp.sqrt(a4_e2(bg, a, expansion)) / a**2


def transverse(bg: Background, x: Float[Array, " n"]) -> Float[Array, " n"]:
    """D_M [Mpc] from x = ∫dz/E: (c/H0) x · sinh(√y)/√y with y = Ω_k x² (sin for y < 0), as one power series.

    The series has no branch at Ω_k = 0, so its derivative there is right.
    """
    y = bg.Ok0 * x * x
    series = jnp.ones_like(y)
    for n in range(CURVATURE_TERMS, 0, -1):
        series = 1.0 + y * series / (2 * n * (2 * n + 1))
    return C_KM_S / bg.H0 * x * series


def distances(bg: Background, grid: DistanceGrid, expansion: Expansion) -> tuple[Float[Array, " n"], Scalar]:
    """x = ∫₀^z dz/E at the redshifts of the grid, shape (n,), and at the end of its reach, shape ().

    Source: Hogg 1999, arXiv:astro-ph/9905116, eq. 15. Checked: golden_background (30 digits) to 1e-12.
    """
    integrand = 1.0 / jnp.sqrt(a4_e2(bg, grid.a, expansion))
    return jnp.asarray(grid.weights) @ integrand, jnp.asarray(grid.reach) @ integrand


def distance_beyond(bg: Background, z_from: float, z_to: Scalar, expansion: Expansion) -> Scalar:
    """∫ dz/E from the end of the grid to a redshift that depends on the parameters (z*). May be negative."""
    nodes, weights = SHORT
    width = z_to - z_from
    a = 1.0 / (1.0 + z_from + width * nodes)
    return width * jnp.sum(weights * a**2 / jnp.sqrt(a4_e2(bg, a, expansion)))
