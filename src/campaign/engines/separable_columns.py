"""Rows of a separable problem that gives its linear columns: the same positions of all stretches at once.

A block is a range of positions, in pieces of at most `PIECE`. No group is cut, and what the stretches share (times, a
design) is computed once for all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from campaign.engines.factors import triangle_of
from campaign.engines.linear import PIECE
from campaign.engines.normal import Robust, tree_sum, tree_triangle
from campaign.engines.separable import Split
from campaign.engines.separable_rows import Place
from campaign.engines.stretches import Columns, sums_of_pieces, weighed
from campaign.problem.target import Target


class Blocks(NamedTuple):
    """How the positions 0 … `length` − 1 of every stretch are cut: blocks of `pieces` pieces of `width` positions.

    All static. The last piece begins earlier than its own positions, so that it does not end beyond the data.
    """

    length: int
    width: int
    pieces: int

    @property
    def n(self) -> int:
        """Blocks."""
        return -(-self.length // (self.width * self.pieces))


def by_columns(target: Target, split: Split) -> bool:
    """Whether rows are taken so: the problem gives its linear columns, and a group is one or several stretches."""
    return target.n_stretches > 0 and target.n_stretches % split.n_groups == 0


def blocks_of(target: Target, rows: int) -> Blocks:
    """Blocks of at most `rows` residuals, as equal as they can be."""
    length = target.n_residuals // target.n_stretches
    most = max(1, rows // target.n_stretches)
    width = min(PIECE, most, length)
    n_pieces = -(-length // width)
    n = -(-n_pieces // (most // width))
    return Blocks(length, width, -(-n_pieces // n))


def column_sums(
    target: Target,
    split: Split,
    at: Place,
    chunk: Int[Array, ""],
    robust: Robust,
    rows: int,
    *,
    has_jacobian: bool,
) -> Float[Array, "K width"]:
    """What a block adds to the sums of each group."""

    def sums(columns: Columns) -> Float[Array, "S k"]:
        return sums_of_pieces(jax.vmap(lambda own: weighed(own, robust, False))(columns), split.width, robust)

    return _of_groups(tree_sum(_by_pieces(target, split, at, chunk, rows, sums, has_jacobian)), split, tree_sum)


def column_triangles(
    target: Target,
    split: Split,
    at: Place,
    chunk: Int[Array, ""],
    robust: Robust,
    rows: int,
) -> Float[Array, "K e e"]:
    """R of [Φ J r] of each group, of a block."""

    def triangles(columns: Columns) -> Float[Array, "S e e"]:
        e = split.width + len(split.nonlinear) + 1
        return jax.lax.map(lambda own: triangle_of(weighed(own, robust, False)[:e]), columns)

    parts = _by_pieces(target, split, at, chunk, rows, triangles, True)
    return _of_groups(_each(parts), split, tree_triangle)


def joined_column_triangles(parts: Float[Array, "n K e e"]) -> Float[Array, "K e e"]:
    """R of each group from those of the blocks."""
    return _each(parts)


def _each(parts: Float[Array, "n K e e"]) -> Float[Array, "K e e"]:
    return jax.lax.map(tree_triangle, jnp.swapaxes(parts, 0, 1))


def _of_groups(parts: Float[Array, "S ..."], split: Split, join: Callable[[Array], Array]) -> Float[Array, "K ..."]:
    """Groups of one or several stretches from the stretches."""
    if len(parts) == split.n_groups:
        return parts
    return jax.lax.map(join, parts.reshape(split.n_groups, -1, *parts.shape[1:]))


def _by_pieces(
    target: Target,
    split: Split,
    at: Place,
    chunk: Int[Array, ""],
    rows: int,
    give: Callable[[Columns], Array],
    has_jacobian: bool,
) -> Array:
    """`give` of every piece of a block, stacked: of columns whose leading axis are the stretches, 0 beyond the end."""
    blocks = blocks_of(target, rows)
    dtype = np.int64 if blocks.n * blocks.pieces * blocks.width > np.iinfo(np.int32).max else np.int32

    def piece(k: Int[Array, ""]) -> Array:
        own = (chunk.astype(dtype) * blocks.pieces + k) * blocks.width
        first = jnp.minimum(own, blocks.length - blocks.width)
        counts = first + jnp.arange(blocks.width, dtype=dtype) >= own

        def residuals(u: Float[Array, " p"]) -> tuple[Float[Array, "S w"], Float[Array, "S m w"]]:
            phi, rest = _columns(target, split, Place(u, at.c), first, blocks.width)
            phi, rest = jnp.where(counts, phi, 0.0), jnp.where(counts[None, :], rest, 0.0)
            c = jnp.repeat(at.c, target.n_stretches // split.n_groups, axis=0)
            return rest + jnp.sum(phi * c[:, :, None], axis=1), phi

        if not has_jacobian:
            value, phi = residuals(at.u)
            return give(Columns(phi, None, value))
        value, tangent, phi = jax.linearize(residuals, at.u, has_aux=True)
        tangent = jax.lax.optimization_barrier(tangent)  # else each of its columns computes the model once more
        return give(Columns(phi, jax.vmap(tangent, out_axes=1)(jnp.eye(len(at.u), dtype=value.dtype)), value))

    return jax.lax.map(piece, jnp.arange(blocks.pieces, dtype=dtype))


def _columns(
    target: Target, split: Split, at: Place, start: Int[Array, ""], size: int
) -> tuple[Float[Array, "S m w"], Float[Array, "S w"]]:
    """Φ of the parameters that are free, and the residuals without them."""
    theta = target.theta(split.together(at.u, at.c))
    phi, rest = target.linear_columns_at(theta, start, size)
    free = [name in target.space.names for name in target.problem.linear()[0]]
    if all(free):
        return phi, rest
    held = np.flatnonzero(np.logical_not(free))
    groups = target.problem.linear()
    at_all = np.array([[target.problem.space.index(group[j]) for j in held] for group in groups])
    c = jnp.repeat(target.full(theta)[at_all], target.n_stretches // len(groups), axis=0)
    return phi[:, np.flatnonzero(free)], rest + jnp.sum(phi[:, held] * c[:, :, None], axis=1)
