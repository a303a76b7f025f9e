"""Rows of a separable problem with their derivatives: all of them, or one row block, whose groups may be cut."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from campaign.engines.linear import PIECE
from campaign.engines.normal import Robust, n_chunks, tree_sum, tree_triangle
from campaign.engines.separable import Split
from campaign.engines.stretches import Columns, Pieces, piece_sums, triangles_of_windows, whole_stretches
from campaign.problem.target import Target


class Place(NamedTuple):
    """A point: nonlinear and linear parameters."""

    u: Float[Array, " p"]
    c: Float[Array, "K m"]


class Block(NamedTuple):
    """A row block, which rows of it are its own, and their groups.

    Attributes:
        first: number of its first row.
        low: rows from here on are its own; the last block begins earlier so that it does not end beyond the data.
        border: where each group begins that begins inside, and `size` for those that do not; in order.
        offset: rows from the beginning of the group of its first own row to `first`.
        size: rows. Static.
        n_slots: the most groups that a block can have. Static.
    """

    first: Array
    low: Int[Array, ""]
    border: Int[Array, " n"]
    offset: Int[Array, ""]
    size: int
    n_slots: int


def n_slots(split: Split, size: int) -> int:
    """The most groups that a run of rows can have."""
    return min(split.n_groups, (size + split.stretch - 2) // split.stretch + 1)


def block_of(target: Target, split: Split, chunk: Int[Array, ""], rows: int) -> Block:
    """The row block of that number."""
    n, s = target.n_residuals, split.stretch
    size = min(rows, n)
    own = chunk.astype(_index(n)) * size
    first = jnp.minimum(own, n - size)
    begins = own // s * s  # of the group of the first own row
    slots = n_slots(split, size)
    border = jnp.clip(begins + s * jnp.arange(1, slots, dtype=own.dtype) - first, 0, size)
    as_small = (x.astype(jnp.int32) for x in (own - first, border, first - begins))
    return Block(first, *as_small, size, slots)


def _index(n: int):
    return jnp.int64 if n > np.iinfo(np.int32).max else jnp.int32


def pieces_of(block: Block, stretch: int) -> Pieces:
    """The own rows of a block in pieces of one group each."""
    regular = jnp.arange(0, block.size, _width(stretch, block.size), dtype=jnp.int32)
    start = jnp.maximum(jnp.sort(jnp.concatenate([regular, block.border])), block.low)
    stop = jnp.concatenate([start[1:], jnp.asarray([block.size], jnp.int32)])
    slot = jnp.clip((start + block.offset) // stretch, 0, block.n_slots - 1)
    return Pieces(start, stop, slot)


def _width(stretch: int, size: int) -> int:
    """Most rows of a piece."""
    return min(PIECE, stretch, size)


def windows_of(block: Block) -> Pieces:
    """The own rows of a block, a window a group."""
    start = jnp.concatenate([block.low[None], jnp.maximum(block.border, block.low)])
    stop = jnp.concatenate([block.border, jnp.asarray([block.size], jnp.int32)])
    return Pieces(start, stop, jnp.arange(block.n_slots, dtype=jnp.int32))


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
    rows = jax.vmap(tangent)(jnp.eye(q, dtype=at.c.dtype))
    return Columns(rows[:m], rows[m:] if has_jacobian else None, value)


def sums_of(columns: Columns, split: Split, shift: Float[Array, "K m"], robust: Robust, is_plain: Array | bool = False):
    """`piece_sums` of all rows, (K, width). `shift` moves the linear parameters first: r + Φ shift."""
    pieces = whole_stretches(split.n_groups, split.stretch)
    parts = piece_sums(columns, pieces, min(PIECE, split.stretch), shift, robust, is_plain)
    return tree_sum(jnp.swapaxes(parts.reshape(split.n_groups, -1, parts.shape[1]), 0, 1))


def triangles_of(columns: Columns, split: Split, robust: Robust) -> Float[Array, "K e e"]:
    """R of [Φ J r] of each group."""
    first = jnp.arange(split.n_groups, dtype=jnp.int32) * split.stretch
    windows = Pieces(first, first + split.stretch, first)
    return triangles_of_windows(columns, windows, split.stretch, robust)


def block_sums(
    target: Target, split: Split, at: Place, chunk: Int[Array, ""], robust: Robust, rows: int, *, has_jacobian: bool
) -> Float[Array, "n_slots width"]:
    """What a row block adds to the sums of its groups."""
    block = block_of(target, split, chunk, rows)
    columns = columns_at(target, split, at, block, has_jacobian=has_jacobian)
    pieces = pieces_of(block, split.stretch)
    shift = jnp.zeros((block.n_slots, split.width), at.c.dtype)
    parts = piece_sums(columns, pieces, _width(split.stretch, block.size), shift, robust)
    return jax.ops.segment_sum(parts, pieces.slot, block.n_slots, indices_are_sorted=True)


def block_triangles(
    target: Target, split: Split, at: Place, chunk: Int[Array, ""], robust: Robust, rows: int
) -> Float[Array, "n_slots e e"]:
    """R of [Φ J r] of the groups of a row block."""
    block = block_of(target, split, chunk, rows)
    columns = columns_at(target, split, at, block, has_jacobian=True)
    return triangles_of_windows(columns, windows_of(block), min(split.stretch, block.size), robust)


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
