"""Where `trf` stands: a point with the quadratic model of the loss around it, and what can be read off it."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from campaign.engines.linear import UNROLLED, Factor, diagonal, factor_of
from campaign.engines.normal import Normal
from campaign.problem.target import Target

QUICK = 1e-9  # least pivot of JᵀJ (condition of J about 3e4) down to which steps come from it


class Point(NamedTuple):
    """A place, and the quadratic model of the loss around it.

    Attributes:
        hessian: JᵀWJ.
        slope: largest |cos| between the residuals and the column of a parameter that can move; 0 where the loss is 0.
    """

    u: Float[Array, " d"]
    loss: Float[Array, ""]
    gradient: Float[Array, " d"]
    hessian: Float[Array, "d d"]
    slope: Float[Array, ""]

    @classmethod
    def of(cls, target: Target, u: Float[Array, " d"], at: Normal) -> Point:
        """The point u with its normal equations."""
        square = diagonal(at.hessian) * (2.0 * at.loss)
        held = are_held(target, u, at.gradient)
        out = square == 0 if held is None else held | (square == 0)
        slope = jnp.sqrt(jnp.max(jnp.where(out, 0.0, at.gradient**2 / jnp.where(out, 1.0, square))))
        return cls(u, at.loss, at.gradient, at.hessian, slope)


def least_pivot(at: Point | Normal, factor: Factor) -> Float[Array, ""]:
    """Smallest squared pivot of the Cholesky factor of H = JᵀWJ with unit columns of J; 1 where nothing is finite.

    It is at least 1/κ², and rarely much more: the squared distance of a unit column from the span of those before it.
    NaN or not positive where H is not positive definite in rounding.
    """
    return jnp.where(is_finite(at), jnp.min(factor.pivots() / diagonal(at.hessian)), 1.0)


def pivot_of(at: Normal) -> Float[Array, ""]:
    return least_pivot(at, factor_of(at.hessian))


def quick_pivot(d: int) -> float:
    return QUICK if d <= UNROLLED else 100 * QUICK


def is_finite(point: Point | Normal) -> Bool[Array, ""]:
    """Whether loss and Jacobian are finite: the diagonal of H has every entry of J in it."""
    return jnp.isfinite(point.loss + jnp.sum(diagonal(point.hessian)) + jnp.sum(point.gradient))


def are_held(target: Target, u: Float[Array, " d"], gradient: Float[Array, " d"]) -> Bool[Array, " d"] | None:
    """Parameters at a bound that the gradient pushes outward. None: there are no bounds."""
    if not target.has_bounds:
        return None
    lower, upper = target.bounds()
    return ((u <= lower) & (gradient > 0)) | ((u >= upper) & (gradient < 0))
