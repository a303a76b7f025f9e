"""Where a fit ends at the bounds of its parameters."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from campaign.problem.target import Target


def inside_bounds(target: Target, theta: Float[Array, " d"]) -> Float[Array, " d"]:
    """theta where a further run may start: rounding on the way from u has not carried it over a bound, or onto one."""
    space = target.space
    is_logit = np.array([p.transform == "logit" for p in space.parameters])
    lower = np.where(is_logit, np.nextafter(space.lower, np.inf), space.lower)
    upper = np.where(is_logit, np.nextafter(space.upper, -np.inf), space.upper)
    return jnp.clip(theta, jnp.asarray(lower, theta.dtype), jnp.asarray(upper, theta.dtype))
