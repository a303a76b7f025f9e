"""Rows of a separable problem with their derivatives: all of them, or one row block, whose groups may be cut."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from campaign.engines.normal import Robust, n_chunks, tree_sum, tree_triangle
from campaign.engines.separable import Split
from campaign.engines.stretches import Columns, Cuts, Windows, sums_of_run, triangles_of
from campaign.problem.target import Target

LONG = 2048  # rows from which derivatives are taken one by one: gathers of many at once take five times as long


class Place(NamedTuple):
    """A point: nonlinear and linear parameters."""

    u: Float[Array, " p"]
    c: Float[Array, "K m"]


class Block(NamedTuple):
    """A row block: the number of its first row, which of its rows are its own and where their groups begin.

    The last block begins earlier than its own rows, so that it does not end beyond the data.

    Attributes:
        size: rows. Static.
    """

    first: Array
    cuts: Cuts
    size: int


def n_slots(split: Split, size: int) -> int:
    """The most groups that a run of rows can have."""
    return min(split.n_groups, (size + split.stretch - 2) // split.stretch + 1)


def block_of(target: Target, split: Split, chunk: Int[Array, ""], rows: int) -> Block:
    """The row block of that number."""
    n, s = target.n_residuals, split.stretch
    size = min(rows, n)
    own = chunk.astype(jnp.int64 if n > np.iinfo(np.int32).max else jnp.int32) * size
    first = jnp.minimum(own, n - size)
    begins = own // s * s  # of the group of the first own row
    border = jnp.clip(begins + s * jnp.arange(1, n_slots(split, size), dtype=own.dtype) - first, 0, size)
    low, border, offset = (x.astype(jnp.int32) for x in (own - first, border, first - begins))
    return Block(first, Cuts(low, border, offset, s), size)


def columns_at(target: Target, split: Split, at: Place, block: Block | None, *, has_jacobian: bool) -> Columns:
    """Residuals, Φ, and J where it is asked for; of a block, or of all rows."""
    m, p = split.width, len(split.nonlinear)
    q = m + p if has_jacobian else m

    def residuals(move: Float[Array, " q"]) -> Float[Array, " N"]:
        x = split.together(at.u + move[m:] if has_jacobian else at.u, at.c + move[None, :m])
        if block is None:
            return target.residuals(x)
        return target.residual_rows_at(target.theta(x), block.first, block.size)

    value, tangent = jax.linearize(residuals, jnp.zeros(q, at.c.dtype))
    each = jax.vmap(tangent) if len(value) < LONG else lambda moves: jax.lax.map(tangent, moves)
    rows = each(jnp.eye(q, dtype=at.c.dtype))
    return Columns(rows[:m], rows[m:] if has_jacobian else None, value)


def block_sums(
    target: Target, split: Split, at: Place, chunk: Int[Array, ""], robust: Robust, rows: int, *, has_jacobian: bool
) -> Float[Array, "n_slots width"]:
    """What a row block adds to the sums of its groups."""
    block = block_of(target, split, chunk, rows)
    return sums_of_run(columns_at(target, split, at, block, has_jacobian=has_jacobian), block.cuts, robust)


def block_triangles(
    target: Target, split: Split, at: Place, chunk: Int[Array, ""], robust: Robust, rows: int
) -> Float[Array, "n_slots e e"]:
    """R of [Φ J r] of the groups of a row block."""
    block = block_of(target, split, chunk, rows)
    columns = columns_at(target, split, at, block, has_jacobian=True)
    return triangles_of(columns, Windows.of(block.cuts, block.size), min(split.stretch, block.size), robust)


def all_triangles(columns: Columns, split: Split, robust: Robust) -> Float[Array, "K e e"]:
    """R of [Φ J r] of each group, from all rows."""
    first = jnp.arange(split.n_groups, dtype=jnp.int32) * split.stretch
    return triangles_of(columns, Windows(first, first + split.stretch), split.stretch, robust)


def joined_sums(parts: Float[Array, "n width"], target: Target, split: Split, rows: int) -> Float[Array, "K w"]:
    """The sums of each group from the parts of all row blocks, pairwise in their order."""
    return tree_sum(_by_group(parts, target, split, rows))


def joined_triangles(parts: Float[Array, "n width"], target: Target, split: Split, rows: int) -> Float[Array, "K e e"]:
    """R of each group from those of the row blocks."""
    own = _by_group(parts, target, split, rows)
    e = split.width + len(split.nonlinear) + 1
    return jax.lax.map(tree_triangle, jnp.swapaxes(own, 0, 1).reshape(split.n_groups, -1, e, e))


def _by_group(parts: Float[Array, "n width"], target: Target, split: Split, rows: int) -> Float[Array, "most K w"]:
    """The parts of each group in the order of their blocks, 0 where a group has fewer than others."""
    size, s = min(rows, target.n_residuals), split.stretch
    slots = n_slots(split, size)
    own = parts.reshape(n_chunks(target, rows) * slots, -1)
    groups = np.arange(split.n_groups)
    first, last = groups * s // size, ((groups + 1) * s - 1) // size
    block = first[None, :] + np.arange(np.max(last - first) + 1)[:, None]
    slot = groups[None, :] - block * size // s
    has = block <= last[None, :]
    return jnp.where(has[:, :, None], own[np.where(has, block * slots + slot, 0)], 0.0)
