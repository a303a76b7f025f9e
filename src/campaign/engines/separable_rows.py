"""Rows of a separable problem: with the derivatives by its linear parameters, or by all, whole or block by block."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from campaign.engines.arrow import Arrow
from campaign.engines.normal import Robust
from campaign.engines.separable import Split
from campaign.engines.stretches import (
    Columns,
    Pieces,
    sums_of_stretches,
    triangles_of_windows,
)
from campaign.problem.target import Target

Sums = Callable[[Float[Array, "K m"], Robust, Array | bool], Arrow]


def rows_at(target: Target, split: Split, u: Float[Array, " p"], c: Float[Array, "K m"], chunk: int) -> Sums:
    """What gives the sums without J at u, for any linear parameters and losses."""
    columns = linear_columns(target, split, u, c)

    def sums(there: Float[Array, "K m"], robust: Robust, is_plain: Array | bool) -> Arrow:
        found = sums_of_stretches(columns, split.n_groups, there - c, robust, is_plain)
        return Arrow.of(found, split.width)

    return sums


def arrow_at(
    target: Target, split: Split, u: Float[Array, " p"], c: Float[Array, "K m"], robust: Robust, chunk: int
) -> tuple[Arrow, Callable[[], Float[Array, "K e e"]]]:
    """All sums at a point, and what gives the triangles there."""
    columns = all_columns(target, split, u, c)
    arrow = Arrow.of(sums_of_stretches(columns, split.n_groups, jnp.zeros_like(c), robust), split.width)
    return arrow, lambda: _triangles(columns, split, robust)


def _triangles(columns: Columns, split: Split, robust: Robust) -> Float[Array, "K e e"]:
    first = jnp.arange(split.n_groups, dtype=jnp.int32) * split.stretch
    windows = Pieces(first, first + split.stretch, first // split.stretch)
    return triangles_of_windows(columns, windows, split.stretch, robust)


def linear_columns(target: Target, split: Split, u: Float[Array, " p"], c: Float[Array, "K m"]) -> Columns:
    """Residuals and Φ."""

    def residuals(move: Float[Array, " m"]) -> Float[Array, " N"]:
        return target.residuals(split.together(u, c + move[None, :]))

    value, tangent = jax.linearize(residuals, jnp.zeros(split.width, c.dtype))
    return Columns(jax.vmap(tangent)(jnp.eye(split.width, dtype=c.dtype)), None, value)


def all_columns(target: Target, split: Split, u: Float[Array, " p"], c: Float[Array, "K m"]) -> Columns:
    """Residuals, Φ and J."""
    m, p = split.width, len(split.nonlinear)

    def residuals(move: Float[Array, " q"]) -> Float[Array, " N"]:
        return target.residuals(split.together(u + move[m:], c + move[None, :m]))

    value, tangent = jax.linearize(residuals, jnp.zeros(m + p, c.dtype))
    rows = jax.vmap(tangent)(jnp.eye(m + p, dtype=c.dtype))
    return Columns(rows[:m], rows[m:], value)
