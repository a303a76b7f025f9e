"""Transport coefficients that change as powers of time, and their integrals over time.

    J(t) = D0 t^α + D_offset       transport coefficient [Å²/s]; of free Brownian motion J = 2 D
    γ̇(t) = γ̇0 t^β + γ̇_offset       shear rate [1/s]

Both are at least 0. Where amplitude · t^exponent + offset is not, a floor takes its place that is positive, small and
has a slope, so that a fit finds its way back; `is_floored` says where.
"""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

FLOOR = 0.05  # share of the power law below which the rate is bent towards 0: a fit comes back from there in 70 steps
_TIME_ZERO = 1e-30  # times dt: what stands for t = 0 in exact integrals, where a power may have its pole


def powers(times: Float[Array, " N"], exponent: Float[Array, ""], dt: Float[Array, ""]) -> Float[Array, " N"]:
    """τ^exponent [s^exponent] with τ = t, and dt/2 for the times below it, as in homodyne."""
    half = jnp.broadcast_to(0.5 * dt, times.shape)
    return jnp.exp(exponent * jnp.log(jnp.maximum(times, half)))


def floored(power: Float[Array, " N"], offset: Float[Array, ""]) -> Float[Array, " N"]:
    """P + offset where that is at least εP, and ε²P²/(2εP − P − offset) below; ε = 0.05.

    Value and slope are continuous; it is positive, and its slope in each parameter is nowhere 0.

    Args:
        power: P, amplitude · t^exponent, above 0.
        offset: in the unit of P.

    Checked: tests/unit/xpcs/test_xpcs_transport.py, values, slopes, and a fit that starts where all of it is floored.
    """
    raw, least = power + offset, FLOOR * power
    is_low = raw < least
    gap = 2.0 * least - jnp.where(is_low, raw, 0.0)
    return jnp.where(is_low, least**2 / jnp.where(is_low, gap, 1.0), raw)


def is_floored(power: Float[Array, " N"], offset: Float[Array, ""]) -> Bool[Array, " N"]:
    """Where `floored` is not P + offset."""
    return power + offset < FLOOR * power


def rate(
    times: Float[Array, " N"],
    amplitude: Float[Array, ""],
    exponent: Float[Array, ""],
    offset: Float[Array, ""],
    dt: Float[Array, ""],
) -> Float[Array, " N"]:
    """J(t) or γ̇(t) at the times, with the floor."""
    return floored(amplitude * powers(times, exponent, dt), offset)


def integral(
    times: Float[Array, " N"],
    amplitude: Float[Array, ""],
    exponent: Float[Array, ""],
    offset: Float[Array, ""],
    dt: Float[Array, ""],
    kind: str,
) -> Float[Array, " N"]:
    """∫ of the rate from the first time to each; 0 at the first.

    Args:
        times: [s], dt apart.
        kind: "trapezoid", of the rates at the times, as in homodyne: far off near t = 0 where the exponent is negative.
            "exact": ∫ t^a = t^(a+1)/(a+1), and the logarithm at a = −1; intervals with a floored end are trapezoids.
            t = 0 stands for 1e-30 dt, so exponents down to −2 are finite.

    Returns:
        [unit of the rate · s], never decreasing.

    Checked: tests/unit/xpcs/test_xpcs_transport.py against closed forms and scipy.integrate.quad.
    """
    power = amplitude * powers(times, exponent, dt)
    rates = floored(power, offset)
    pieces = 0.5 * dt * (rates[1:] + rates[:-1])
    if kind == "exact":
        low = is_floored(power, offset)
        exact = amplitude * _power_pieces(times, exponent, dt) + offset * dt
        pieces = jnp.where(low[1:] | low[:-1], pieces, exact)
    return jnp.concatenate([jnp.zeros_like(pieces, shape=(1,)), jnp.cumsum(pieces)])


def _power_pieces(times: Float[Array, " N"], exponent: Float[Array, ""], dt: Float[Array, ""]) -> Float[Array, " n"]:
    """∫ t^a over each interval: t^(a+1) (1 − e^(−(a+1) x))/(a+1) at its end, with x = ln of the ratio of its ends."""
    least = jnp.broadcast_to(_TIME_ZERO * dt, times.shape)
    log_times = jnp.log(jnp.maximum(times, least))
    ratio = log_times[1:] - log_times[:-1]
    steps = (exponent + 1.0) * ratio
    is_small = jnp.abs(steps) < 1e-5
    safe = jnp.where(is_small, 1.0, steps)
    share = jnp.where(is_small, 1.0 - 0.5 * steps + steps**2 / 6.0, -jnp.expm1(-safe) / safe)
    return jnp.exp((exponent + 1.0) * log_times[1:]) * ratio * share
