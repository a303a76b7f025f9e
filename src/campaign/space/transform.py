"""Between theta (physical) and u (what engines move in): identity, log, logit, one a parameter."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from campaign.space import ThetaSpace


def _masks(space: ThetaSpace) -> tuple[Array, Array]:
    is_log = jnp.array([p.transform == "log" for p in space.parameters])
    is_logit = jnp.array([p.transform == "logit" for p in space.parameters])
    return is_log, is_logit


def _interval(space: ThetaSpace, dtype) -> tuple[Array, Array]:
    low = jnp.array([p.lower if p.transform == "logit" else 0.0 for p in space.parameters], dtype)
    width = jnp.array([p.upper - p.lower if p.transform == "logit" else 1.0 for p in space.parameters], dtype)
    return low, width


def is_identity(space: ThetaSpace) -> bool:
    return all(p.transform == "identity" for p in space.parameters)


def to_u(space: ThetaSpace, theta: Float[Array, " d"]) -> Float[Array, " d"]:
    """u = theta, ln theta, or ln(x/(1−x)) with x = (theta−lower)/(upper−lower). NaN outside the domain."""
    if is_identity(space):
        return theta
    is_log, is_logit = _masks(space)
    low, width = _interval(space, theta.dtype)
    x = jnp.where(is_logit, (theta - low) / width, 0.5)
    logarithm = jnp.log(jnp.where(is_log, theta, 1.0))
    return jnp.where(is_log, logarithm, jnp.where(is_logit, jnp.log(x) - jnp.log1p(-x), theta))


def to_theta(space: ThetaSpace, u: Float[Array, " d"]) -> Float[Array, " d"]:
    """Inverse of `to_u`."""
    if is_identity(space):
        return u
    is_log, is_logit = _masks(space)
    low, width = _interval(space, u.dtype)
    exponential = jnp.exp(jnp.where(is_log, u, 0.0))
    sigmoid = low + width * jax.nn.sigmoid(jnp.where(is_logit, u, 0.0))
    return jnp.where(is_log, exponential, jnp.where(is_logit, sigmoid, u))


def log_jacobian(space: ThetaSpace, u: Float[Array, " d"]) -> Float[Array, ""]:
    """ln |d theta / d u|, summed over parameters: what a density in theta gains when it is sampled in u."""
    if is_identity(space):
        return jnp.zeros((), u.dtype)
    is_log, is_logit = _masks(space)
    _, width = _interval(space, u.dtype)
    s = jnp.where(is_logit, u, 0.0)
    logit = jnp.log(width) - jax.nn.softplus(-s) - jax.nn.softplus(s)
    return jnp.sum(jnp.where(is_log, u, jnp.where(is_logit, logit, 0.0)))


def u_bounds(space: ThetaSpace, dtype=jnp.float64) -> tuple[Float[Array, " d"], Float[Array, " d"]]:
    """Bounds of u. Those of a log or logit parameter are finite: u ends where theta has reached its bound in rounding.

    A logit parameter ends where theta is eps/2 of its range away from a bound, a log parameter without a positive lower
    bound at theta = 10⁻¹⁵⁰, whose square is still a number.
    """
    with jax.ensure_compile_time_eval():
        lower, upper = jnp.array(space.lower, dtype), jnp.array(space.upper, dtype)
        if is_identity(space):
            return lower, upper
        is_log, is_logit = _masks(space)
        info = jnp.finfo(dtype)
        smallest = 0.5 * jnp.log(jnp.asarray(float(info.tiny), dtype)) + 9.0  # −345.2 in float64: 10⁻¹⁵⁰
        end = -jnp.log(jnp.asarray(0.5 * float(info.eps), dtype))
        log_lower = jnp.where(lower > 0, jnp.log(jnp.where(lower > 0, lower, 1.0)), smallest)
        log_upper = jnp.log(jnp.where(is_log, upper, 1.0))
        return (
            jnp.where(is_log, log_lower, jnp.where(is_logit, -end, lower)),
            jnp.where(is_log, log_upper, jnp.where(is_logit, end, upper)),
        )
