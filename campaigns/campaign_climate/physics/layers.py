"""The parameters of the two-layer model, and its exact solution in two modes for a linear feedback.

    Cs dTs/dt = F − (λ0 − a Ts) Ts − ε η (Ts − Td)
    Cd dTd/dt = η (Ts − Td)

With a = 0 it has two modes x_f, x_s that decay with the rates r_f > r_s:

    Ts = x_f + x_s,    Td = φ_f x_f + φ_s x_s,    dx_i/dt = −r_i x_i + q_i F
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

Scalar = Float[Array, ""]
_SERIES_BELOW = 0.5  # φ2 from its series below this rate: the closed form loses digits
_SERIES_TERMS = 16


class Layers(NamedTuple):
    """Parameters of the two-layer model.

    Attributes:
        lambda0: radiative feedback λ0 [W m⁻² K⁻¹], > 0 for a stable climate.
        a: its decrease with warming [W m⁻² K⁻²].
        efficacy: of the heat uptake of the deep layer, ε [-].
        eta: exchange between the layers η [W m⁻² K⁻¹].
        heat_capacity_surface: Cs [W yr m⁻² K⁻¹].
        heat_capacity_deep: Cd [W yr m⁻² K⁻¹].
    """

    lambda0: Scalar
    a: Scalar
    efficacy: Scalar
    eta: Scalar
    heat_capacity_surface: Scalar
    heat_capacity_deep: Scalar


class Modes(NamedTuple):
    """The fast (f) and the slow (s) mode, arrays of shape (2,).

    Attributes:
        rate: r = 1/τ [yr⁻¹].
        phi: deep temperature of a mode for 1 K at the surface [-].
        gain: q, warming of a mode by forcing [K (W m⁻²)⁻¹ yr⁻¹].
    """

    rate: Float[Array, 2]
    phi: Float[Array, 2]
    gain: Float[Array, 2]

    @property
    def share(self) -> Float[Array, 2]:
        """a_i = λ0 q_i/r_i, a mode's share of the equilibrium warming; they sum to 1."""
        part = self.gain / self.rate
        return part / (part[0] + part[1])


def modes(layers: Layers) -> Modes:
    """The two modes for a = 0.

    b = (λ0+εη)/Cs + η/Cd,  b* = (λ0+εη)/Cs − η/Cd,  √D = √(b*² + 4εη²/(Cs Cd)),
    r_f = (b + √D)/2,  r_s = λ0 η/(Cs Cd)/r_f,  φ_{f,s} = Cs/(2εη) (b* ∓ √D),
    q_f = φ_s/(Cs (φ_s − φ_f)),  q_s = −φ_f/(Cs (φ_s − φ_f)).

    Every difference of nearly equal numbers is taken from the product of the two roots instead.

    Source: Geoffroy et al. 2013, J. Climate 26, doi:10.1175/JCLI-D-12-00195.1 and 00196.1 (ε), tables 1.
    Checked: tests/oracle/test_climate_two_layer.py: scipy.linalg.expm, rtol 1e-12, and 53 tabulated sets.
    """
    surface, deep = layers.heat_capacity_surface, layers.heat_capacity_deep
    coupling = layers.efficacy * layers.eta
    loss, exchange = (layers.lambda0 + coupling) / surface, layers.eta / deep
    difference = loss - exchange
    root = jnp.sqrt(difference**2 + 4.0 * coupling * layers.eta / (surface * deep))
    fast = 0.5 * (loss + exchange + root)
    slow = layers.lambda0 * layers.eta / (surface * deep) / fast
    large = 0.5 * surface / coupling * (jnp.abs(difference) + root)
    small = surface / (layers.efficacy * deep) / large  # φ_f φ_s = −Cs/(ε Cd)
    phi_s = jnp.where(difference >= 0.0, large, small)
    phi_f = -jnp.where(difference >= 0.0, small, large)
    width = surface * (phi_s - phi_f)
    return Modes(rate=jnp.stack([fast, slow]), phi=jnp.stack([phi_f, phi_s]), gain=jnp.stack([phi_s, -phi_f]) / width)


def phi1(rate: Array) -> Array:
    """(1 − e^−r)/r: the mean over a year of what decays with rate r, from 1. 1 at r = 0."""
    safe = jnp.where(rate == 0.0, 1.0, rate)
    return jnp.where(rate == 0.0, 1.0, -jnp.expm1(-safe) / safe)


def phi2(rate: Array) -> Array:
    """(r − 1 + e^−r)/r² = (1 − φ1)/r: the mean over a year of the response to a forcing of 1. ½ at r = 0."""
    series = jnp.ones_like(rate)
    for k in range(_SERIES_TERMS, 2, -1):  # ½ (1 − r/3 (1 − r/4 (1 − …)))
        series = 1.0 - series * rate / k
    safe = jnp.where(rate < _SERIES_BELOW, 1.0, rate)
    return jnp.where(rate < _SERIES_BELOW, 0.5 * series, (1.0 - phi1(safe)) / safe)
