"""Many small linear least-squares problems at once, each in a box: the linear parameters of a separable problem."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from campaign.engines.linear import diagonal

SEEN = 64.0  # eps: smallest squared pivot, of unit columns, that is not rounding of a Gram matrix


class Inverse(NamedTuple):
    """Inverse of a Gram matrix over the columns that are kept and independent, 0 elsewhere.

    Attributes:
        pivot: smallest squared pivot, of unit columns; that of a column which is dropped counts.
    """

    matrix: Float[Array, "m m"]
    pivot: Float[Array, ""]


def inverse_of(matrix: Float[Array, "m m"], kept: Bool[Array, " m"]) -> Inverse:
    """By sweeps of Gauss and Jordan; a column that depends on those before it is dropped.

    Checked: tests/unit/engines/test_box.py against numpy.linalg.
    """
    m = matrix.shape[0]
    square = diagonal(matrix)
    scale = jnp.where(kept & (square > 0), 1.0 / jnp.sqrt(jnp.where(square > 0, square, 1.0)), 0.0)
    scale = jnp.where(jnp.isnan(square), jnp.nan, scale)
    tolerance = SEEN * m * jnp.finfo(matrix.dtype).eps
    places = jnp.arange(m)

    def sweep(k: Array, carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        left, is_in, least = carry
        at_k = places == k
        row, column = (jnp.sum(jnp.where(at_k, side, 0.0), axis=1) for side in (left.T, left))
        pivot = jnp.sum(jnp.where(at_k, column, 0.0))
        is_good = ~(pivot <= tolerance)  # true for NaN
        row = jnp.where(at_k, 1.0, row) / jnp.where(is_good, pivot, 1.0)
        rest = jnp.where(at_k[None, :], 0.0, left) - jnp.where(at_k, 0.0, column)[:, None] * row[None, :]
        swept = jnp.where(at_k[:, None], row[None, :], rest)
        is_own = jnp.any(at_k & kept)
        least = jnp.where(is_own, jnp.minimum(least, pivot), least)
        return jnp.where(is_good, swept, left), is_in | (at_k & is_good), least

    start = (matrix * scale[:, None] * scale[None, :], jnp.zeros_like(kept), jnp.ones_like(matrix[0, 0]))
    swept, is_in, least = jax.lax.fori_loop(0, m, sweep, start)
    whole = jnp.where(is_in[:, None] & is_in[None, :], swept, 0.0) * scale[:, None] * scale[None, :]
    return Inverse(whole, least)


def best_in_box(
    hessian: Float[Array, "K m m"],
    gradient: Float[Array, "K m"],
    start: Float[Array, "K m"],
    bounds: tuple[Float[Array, "K m"], Float[Array, "K m"]] | None,
) -> Float[Array, "K m"]:
    """argmin ½ (x−c)ᵀB(x−c) + gᵀ(x−c) over lower ≤ x ≤ upper, for K problems. A column without effect stays at c.

    By active sets: from inside the box straight to the minimum over the columns that no bound holds, up to the first
    bound in the way, which then holds; at that minimum the bound that pulls most lets go.

    Source: Nocedal & Wright, Numerical Optimization, 2nd ed., algorithm 16.3.
    Checked: tests/unit/engines/test_box.py against scipy.optimize.lsq_linear.
    """
    if bounds is None:
        inverse = jax.vmap(inverse_of)(hessian, jnp.ones(gradient.shape, bool)).matrix
        return start - jnp.sum(inverse * gradient[:, None, :], axis=2)
    return jax.vmap(_active_set)(hessian, gradient, start, *bounds)


class _Place(NamedTuple):
    x: Float[Array, " m"]
    held: Bool[Array, " m"]
    is_done: Bool[Array, ""]
    n: Array


def _active_set(hessian, gradient, start, lower, upper) -> Float[Array, " m"]:
    m = gradient.shape[0]
    square = diagonal(hessian)
    scale = jnp.where(square > 0, 1.0 / jnp.sqrt(jnp.where(square > 0, square, 1.0)), 0.0)

    def slope_at(x: Array) -> Array:
        return gradient + jnp.sum(hessian * (x - start)[None, :], axis=1)

    def move(place: _Place) -> _Place:
        x, held, _, n = place
        slope = slope_at(x)
        inverse = inverse_of(hessian, ~held).matrix
        step = jnp.where(held, 0.0, -jnp.sum(inverse * jnp.where(held, 0.0, slope)[None, :], axis=1))
        wall = jnp.where(step > 0, upper, lower)
        share = jnp.where(step == 0, jnp.inf, (wall - x) / jnp.where(step == 0, 1.0, step))
        first = jnp.min(share)
        stops = (share == first) & (first < 1.0)
        there = jnp.where(stops, wall, jnp.clip(x + jnp.minimum(first, 1.0) * step, lower, upper))
        slope = slope_at(there)
        pull = jnp.where(held, jnp.where(there <= lower, -slope, slope) * scale, 0.0)  # > 0: inwards
        lets_go = (pull == jnp.max(pull)) & (pull > 0) & ~jnp.any(stops)
        is_done = ~jnp.any(stops) & ~jnp.any(lets_go)
        return _Place(there, (held | stops) & ~lets_go, is_done, n + 1)

    none = jnp.zeros(m, bool)
    begin = _Place(jnp.clip(start, lower, upper), none, jnp.asarray(False), jnp.asarray(0))
    return jax.lax.while_loop(lambda place: ~place.is_done & (place.n < 4 * m + 8), move, begin).x
