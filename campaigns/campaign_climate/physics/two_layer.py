"""Forced series of the two-layer model: exactly for a linear feedback, by Runge–Kutta steps otherwise.

Forcing F[i] is the mean of calendar year i and constant during it; the state is 0 at the beginning of the first year.
The model stands in a program once, inside a scan over the years.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from campaign_climate.physics.constants import OCEAN_FRACTION, RUNAWAY_K, ZJ_PER_W_YR_M2
from campaign_climate.physics.layers import Layers, modes, phi1, phi2

STEPS_PER_YEAR = 2  # errors of 1e-6 K after a step of 4 W m⁻²


class Response(NamedTuple):
    """Temperatures of the layers [K], each (n,), one a calendar year.

    Attributes:
        surface: annual mean of Ts.
        surface_end, deep_end: Ts and Td at the end of the year.
    """

    surface: Float[Array, " n"]
    surface_end: Float[Array, " n"]
    deep_end: Float[Array, " n"]


def exact(layers: Layers, forcing: Float[Array, " n"]) -> Response:
    """The response for a = 0, exact for forcing that is constant during each year.

    Over a year with forcing F each mode goes x ← e^−r x + q φ1(r) F, and its mean is φ1(r) x + q φ2(r) F, with
    φ1 = (1 − e^−r)/r and φ2 = (1 − φ1)/r.

    Args:
        layers: parameters; `a` is not used.
        forcing: [W m⁻²].

    Outside the domain (a runaway): NaN from that year on.
    Checked: tests/oracle/test_climate_two_layer.py against scipy.linalg.expm, 1e-12.
    """
    own = modes(layers)
    decay, warming = jnp.exp(-own.rate), own.gain * phi1(own.rate)
    mean_old, mean_new = phi1(own.rate), own.gain * phi2(own.rate)

    def year(x: Float[Array, 2], f: Float[Array, ""]) -> tuple[Float[Array, 2], Float[Array, 2]]:
        return decay * x + warming * f, x

    last, x = jax.lax.scan(year, jnp.zeros(2, forcing.dtype), forcing)
    begin = x
    end = jnp.concatenate([x[1:], last[None]])
    surface = mean_old[0] * begin[:, 0] + mean_old[1] * begin[:, 1] + (mean_new[0] + mean_new[1]) * forcing
    return _bounded(
        Response(surface, end[:, 0] + end[:, 1], own.phi[0] * end[:, 0] + own.phi[1] * end[:, 1]),
    )


def runge_kutta(layers: Layers, forcing: Float[Array, " n"], steps_per_year: int = STEPS_PER_YEAR) -> Response:
    """The response for any a, by classic Runge–Kutta steps; the integral of Ts is a third state.

    Args:
        layers: parameters.
        forcing: [W m⁻²].
        steps_per_year: static. After a step of 4 W m⁻² the error is 1.8e-5 K with 1, 1.0e-6 with 2, 1.5e-9 with 10.
            Stable for steps below 2.78 of the fast time scale.

    Outside the domain (a runaway): NaN from that year on.
    Checked: tests/oracle/test_climate_two_layer.py: the error table, and a series computed elsewhere.
    """
    constant = jnp.zeros_like(forcing)
    return _bounded(_integrated(layers, forcing, constant, steps_per_year))


def ramp(layers: Layers, slope: Float[Array, ""], years: int, steps_per_year: int = STEPS_PER_YEAR) -> Response:
    """The response to forcing that grows steadily from 0, slope [W m⁻² yr⁻¹], by Runge–Kutta steps."""
    begin = slope * jnp.arange(years)
    return _bounded(_integrated(layers, begin, jnp.full(years, 1.0) * slope, steps_per_year))


def _integrated(layers: Layers, forcing: Array, slope: Array, steps_per_year: int) -> Response:
    h = 1.0 / steps_per_year

    def rate(state: Array, f: Array) -> Array:
        ts, td = state[0], state[1]
        exchange = layers.eta * (ts - td)
        surface = (
            f - (layers.lambda0 - layers.a * ts) * ts - layers.efficacy * exchange
        ) / layers.heat_capacity_surface
        return jnp.stack([surface, exchange / layers.heat_capacity_deep, ts])

    def step(state: Array, f: tuple[Array, Array, Array]) -> tuple[Array, None]:
        k1 = rate(state, f[0])
        k2 = rate(state + 0.5 * h * k1, f[1])
        k3 = rate(state + 0.5 * h * k2, f[1])
        k4 = rate(state + h * k3, f[2])
        return state + h / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4), None

    def year(layer: Array, f: tuple[Array, Array]) -> tuple[Array, Array]:
        at = jnp.arange(steps_per_year) * h
        inside = (f[0] + f[1] * at, f[0] + f[1] * (at + 0.5 * h), f[0] + f[1] * (at + h))
        start = jnp.concatenate([layer, jnp.zeros(1, layer.dtype)])
        end, _ = jax.lax.scan(step, start, inside, unroll=min(steps_per_year, 2))
        return end[:2], end

    _, ends = jax.lax.scan(year, jnp.zeros(2, forcing.dtype), (forcing, slope))
    return Response(ends[:, 2], ends[:, 0], ends[:, 1])


def _bounded(response: Response) -> Response:
    """NaN from the first year on in which a temperature is not finite or beyond 1000 K."""
    size = jnp.maximum(jnp.abs(response.surface_end), jnp.abs(response.deep_end))
    is_lost = jax.lax.cummax(jnp.where(size <= RUNAWAY_K, 0, 1)) > 0
    return Response(*(jnp.where(is_lost, jnp.nan, series) for series in response))


def heat_content(layers: Layers, response: Response, ocean_fraction: float = OCEAN_FRACTION) -> Float[Array, " n"]:
    """Heat of the ocean since the beginning [ZJ], at the end of each year: f (Cs Ts + Cd Td), 16.1 ZJ per W yr m⁻²."""
    total = layers.heat_capacity_surface * response.surface_end + layers.heat_capacity_deep * response.deep_end
    return ocean_fraction * ZJ_PER_W_YR_M2 * total


def heat_uptake(layers: Layers, response: Response) -> Float[Array, " n"]:
    """Annual mean of N = Cs dTs/dt + Cd dTd/dt = F − (λ0 − a Ts) Ts − (ε − 1) η (Ts − Td) [W m⁻²]."""
    total = layers.heat_capacity_surface * response.surface_end + layers.heat_capacity_deep * response.deep_end
    return jnp.diff(total, prepend=jnp.zeros(1, total.dtype))


def ecs(layers: Layers, f2x: Float[Array, ""]) -> Float[Array, ""]:
    """Equilibrium warming for the forcing of doubled CO2 [K]: the lower root of a T² − λ0 T + F = 0.

    2F/(λ0 + √(λ0² − 4aF)), which is F/λ0 for a = 0. NaN where there is no equilibrium: F > λ0²/(4a).
    """
    return 2.0 * f2x / (layers.lambda0 + jnp.sqrt(layers.lambda0**2 - 4.0 * layers.a * f2x))


def tcr(layers: Layers, f2x: Float[Array, ""]) -> Float[Array, ""]:
    """Ts [K] for a = 0 after 70 years of forcing that grows steadily to that of doubled CO2.

    k/λ0 (t − Σ τ_i a_i (1 − e^{−t/τ_i})) with t = 70 years and k = F/t.
    Source: Geoffroy et al. 2013, eq. 12; AR6 defines TCR at 1 % CO2 a year, which is this ramp.
    """
    own, years = modes(layers), 70.0
    delay = own.share * -jnp.expm1(-own.rate * years) / own.rate
    return f2x / years / layers.lambda0 * (years - (delay[0] + delay[1]))


def tcr_nonlinear(layers: Layers, f2x: Float[Array, ""], steps_per_year: int = STEPS_PER_YEAR) -> Float[Array, ""]:
    """The same for any a, by Runge–Kutta steps."""
    return ramp(layers, f2x / 70.0, 70, steps_per_year).surface_end[-1]
