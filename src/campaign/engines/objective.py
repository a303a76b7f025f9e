"""What optimisers of a density minimise, and what they say where they end."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from campaign.engines.base import Result
from campaign.engines.curvature import curvature
from campaign.engines.derivative import scale_of_u
from campaign.engines.linear import covariance
from campaign.problem.target import Target

POSTERIOR = "posterior"
_FLAT, _ROUNDED = 1e-12, 1e-9  # of the largest curvature: there is none below, and a negative one is rounding


def cost(target: Target, u: Float[Array, " d"], objective: str) -> Float[Array, ""]:
    """−(ln L + ln prior), a density in theta, or −ln L; not finite where that is not."""
    return -target.log_posterior(u) if objective == POSTERIOR else -target.log_likelihood(u)


def box(target: Target, objective: str) -> tuple[Float[Array, " d"], Float[Array, " d"]]:
    """Bounds of u, of a posterior narrowed to where the priors have a density."""
    low, high = target.bounds()
    if objective != POSTERIOR or not target.map.is_elementwise:
        return low, high
    ends = []
    for bound, side, narrower in ((low, 0, jnp.maximum), (high, 1, jnp.minimum)):
        support = jnp.asarray([p.support[side] for p in target.space.parameters], low.dtype)
        u = target.u(jnp.where(jnp.isfinite(support), support, target.start_theta()))
        ends.append(jnp.where(jnp.isfinite(support) & jnp.isfinite(u), narrower(bound, u), bound))
    return ends[0], ends[1]


def left_to_gain(
    target: Target, u: Float[Array, " d"], slope: Float[Array, " d"], objective: str
) -> tuple[Float[Array, ""], Bool[Array, ""]]:
    """½ gᵀH⁻¹g with the whole curvature H at u, and whether H is that of a minimum, without what a bound holds.

    Directions without curvature gain nothing, and are of a minimum where the gradient along them vanishes as well.

    Args:
        slope: g, gradient of the cost by u.
    """
    scale = scale_of_u(target)
    low, high = box(target, objective)
    is_free = ~(((u <= low) & (slope > 0)) | ((u >= high) & (slope < 0)))
    matrix = curvature(target, u, objective == POSTERIOR) * scale[:, None] * scale[None, :]
    matrix = jnp.where(is_free[:, None] & is_free[None, :], matrix, jnp.eye(u.shape[0], dtype=u.dtype))
    g = jnp.where(is_free, slope * scale, 0.0)
    is_finite = jnp.all(jnp.isfinite(matrix))
    values, vectors = jnp.linalg.eigh(jnp.where(is_finite, matrix, jnp.eye(u.shape[0], dtype=u.dtype)))
    flat = values <= _FLAT * jnp.max(jnp.abs(values))
    along = vectors.T @ g
    gain = 0.5 * jnp.sum(jnp.where(flat, 0.0, along**2 / jnp.where(flat, 1.0, values)))
    is_minimum = is_finite & jnp.all(values > -_ROUNDED * jnp.max(jnp.abs(values)))
    level = jnp.sqrt(jnp.finfo(u.dtype).eps) * jnp.sqrt(jnp.max(jnp.abs(values)))
    return gain, is_minimum & jnp.all(jnp.where(flat, jnp.abs(along) <= level, True))


def estimates(
    target: Target,
    u: Float[Array, " d"],
    objective: str,
    is_minimum: Bool[Array, ""],
    *,
    n_evaluations: Int[Array, ""],
    arrays: dict[str, Array] | None = None,
) -> Result:
    """The result of an optimiser that ends at u: Laplace errors where u is a minimum that was shown to be one.

    Errors are those of the posterior (or likelihood) with the parameters at a bound held there. A parameter that takes
    part in a direction without curvature is unidentified. Where ln L is a mean over the data there are no errors.
    """
    theta = target.theta(u)
    scale = scale_of_u(target)
    at_bound = target.at_bound(u, within=box(target, objective))
    is_theta = target.map.is_elementwise
    matrix = curvature(target, u, objective == POSTERIOR) * scale[:, None] * scale[None, :]
    is_finite = jnp.all(jnp.isfinite(matrix))
    values, vectors = jnp.linalg.eigh(jnp.where(is_finite, matrix, jnp.eye(u.shape[0], dtype=u.dtype)))
    rows = vectors * jnp.sqrt(jnp.maximum(values, 0.0))[None, :]
    found = covariance(jnp.where(is_finite, rows, jnp.nan), at_bound != 0)
    inverse = target.covariance(u, found.matrix * scale[:, None] * scale[None, :])
    inverse = jnp.where(is_minimum & (not target.is_mean), inverse, jnp.nan)
    likelihood = -target.log_likelihood_at(theta)
    return Result.of(
        theta,
        likelihood,
        -target.log_likelihood_at(target.start_theta()),
        stderr=jnp.sqrt(jnp.diagonal(inverse)),
        n_evaluations=n_evaluations,
        at_bound=at_bound if is_theta else jnp.zeros(theta.shape, jnp.int32),
        unidentified=target.of_parameters(u, found.unidentified) & is_minimum,
        metrics={"log_prior": target.log_prior(u), "log_posterior": target.log_prior(u) - likelihood},
        arrays={"covariance": inverse, **(arrays or {})},
    )
