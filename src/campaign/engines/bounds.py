"""Where a fit ends at the bounds of its parameters."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from campaign.problem.target import Target


def inside_bounds(target: Target, theta: Float[Array, " d"]) -> Float[Array, " d"]:
    """theta where a further run may start: rounding on the way from u has not carried it over a bound, or onto one."""
    space = target.space
    is_logit = np.array([p.transform == "logit" for p in space.parameters])
    lower = np.where(is_logit, np.nextafter(space.lower, np.inf), space.lower)
    upper = np.where(is_logit, np.nextafter(space.upper, -np.inf), space.upper)
    return jnp.clip(theta, jnp.asarray(lower, theta.dtype), jnp.asarray(upper, theta.dtype))


def at_bound(target: Target, u: Float[Array, " d"]) -> Int[Array, " d"]:
    """−1 at the lower bound, +1 at the upper, 0 inside, to the rounding of u."""
    lower, upper = target.bounds()
    eps = jnp.finfo(u.dtype).eps

    def at(bound: Float[Array, " d"]) -> Int[Array, " d"]:
        return (jnp.isfinite(bound) & (jnp.abs(u - bound) <= 4.0 * eps * jnp.abs(bound))).astype(jnp.int32)

    return at(upper) - at(lower)
