"""Where `trf` stands: a point with the quadratic model of the loss around it, and what can be read off it."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from campaign.engines.linear import UNROLLED, diagonal, least_pivot
from campaign.engines.normal import Normal
from campaign.problem.target import Target

QUICK = 1e-9  # least pivot of JᵀJ (condition of J about 3e4) down to which steps come from it


class Point(NamedTuple):
    """A place, and the quadratic model of the loss around it.

    Attributes:
        hessian: JᵀWJ.
        triangle: R of the QR factorisation of [J r] where `pivot` is small, else 0.
        pivot: `least_pivot` of JᵀWJ, at least 1/condition² of J with unit columns; 1 where nothing is finite.
    """

    u: Float[Array, " d"]
    loss: Float[Array, ""]
    gradient: Float[Array, " d"]
    hessian: Float[Array, "d d"]
    triangle: Float[Array, "e e"]
    pivot: Float[Array, ""]


def pivot_of(at: Normal) -> Float[Array, ""]:
    return jnp.where(is_finite(at), least_pivot(at.hessian), 1.0)


def quick_pivot(d: int) -> float:
    return QUICK if d <= UNROLLED else 100 * QUICK


def cosine(target: Target, point: Point) -> Float[Array, ""]:
    """Largest |cos| between the residuals and the column of a parameter that can move; 0 where the loss is 0."""
    square = diagonal(point.hessian) * (2.0 * point.loss)
    out = are_held(target, point) | (square == 0)
    return jnp.sqrt(jnp.max(jnp.where(out, 0.0, point.gradient**2 / jnp.where(out, 1.0, square))))


def is_finite(point: Point | Normal) -> Bool[Array, ""]:
    """Whether loss and Jacobian are finite: the diagonal of H has every entry of J in it."""
    return jnp.isfinite(point.loss + jnp.sum(diagonal(point.hessian)) + jnp.sum(point.gradient))


def are_held(target: Target, point: Point) -> Bool[Array, " d"]:
    """Parameters at a bound that the gradient pushes outward."""
    if not target.has_bounds:
        return jnp.zeros(point.u.shape, bool)
    lower, upper = target.bounds()
    return ((point.u <= lower) & (point.gradient > 0)) | ((point.u >= upper) & (point.gradient < 0))
