"""Standard errors of a least-squares fit from the covariance that its Jacobian gives."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from campaign.engines.linear import Covariance, by_scatter, diagonal
from campaign.problem.target import Target


class Errors(NamedTuple):
    """Covariance of the free parameters, its standard errors, and the parameters that have none."""

    covariance: Float[Array, "d d"]
    stderr: Float[Array, " d"]
    unidentified: Bool[Array, " d"]


def errors_of(
    target: Target,
    theta: Float[Array, " d"],
    matrix: Float[Array, "d d"],
    fit: Covariance,
    squares: Float[Array, ""],
) -> Errors:
    """Errors in theta units, NaN where the data give none.

    Where only the scatter of the data tells their errors it scales the covariance. A parameter whose standard error is
    more than 1/eps of its value and of its scale is unidentified: it has no digit. So is one whose standard error is
    larger than the range between its two bounds: they say all that is known of it.

    Args:
        theta: the free parameters.
        matrix: the covariance of `fit` in theta units.
        squares: Σ r²; not finite where the fit is not.
    """
    unidentified = fit.unidentified
    if not target.is_absolute:
        dof = target.n_data - fit.rank - target.n_profiled
        matrix, unidentified = by_scatter(matrix, unidentified, squares, dof)
    matrix = jnp.where(jnp.isfinite(squares), matrix, jnp.nan)
    size = jnp.maximum(jnp.abs(theta), target.scale)
    width = jnp.asarray(target.space.upper - target.space.lower, theta.dtype)
    error = jnp.sqrt(diagonal(matrix))
    is_lost = (error * jnp.finfo(theta.dtype).eps > size) | (error > width)
    matrix = jnp.where(is_lost[:, None] | is_lost[None, :], jnp.nan, matrix)
    return Errors(matrix, jnp.sqrt(diagonal(matrix)), unidentified | is_lost)
