"""Sums over the stretches of the residuals, a stretch a group, in pieces that stay in the cache.

Every piece of at most `PIECE` rows belongs to one group. The Gram matrix of all its columns is one product; what is
done with the columns afterwards is done with these small matrices.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from campaign.engines.factors import triangle_of
from campaign.engines.linear import PIECE
from campaign.engines.loss import weighted
from campaign.engines.normal import Robust, tree_sum


class Columns(NamedTuple):
    """Rows of residuals and what moves them.

    Attributes:
        phi: ∂r/∂c_j, for the j-th linear parameter of every group at once.
        jacobian: ∂r/∂u; None where it is not asked for.
    """

    phi: Float[Array, "m N"]
    jacobian: Float[Array, "p N"] | None
    residuals: Float[Array, " N"]


class Pieces(NamedTuple):
    """Runs of rows, each of one group: rows `start` to `stop` − 1 are of the group `slot`."""

    start: Int[Array, " P"]
    stop: Int[Array, " P"]
    slot: Int[Array, " P"]


def whole_stretches(n_groups: int, stretch: int) -> Pieces:
    """The pieces of all rows."""
    width = min(PIECE, stretch)
    first = np.arange(n_groups)[:, None] * stretch + np.arange(0, stretch, width)[None, :]
    last = np.minimum(first + width, (np.arange(n_groups)[:, None] + 1) * stretch)
    slot = np.broadcast_to(np.arange(n_groups)[:, None], first.shape)
    return Pieces(*(jnp.asarray(part.ravel(), jnp.int32) for part in (first, last, slot)))


def sums_of_stretches(
    columns: Columns,
    n_groups: int,
    shift: Float[Array, "K m"],
    robust: Robust,
    is_plain: Array | bool = False,
) -> Float[Array, "K width"]:
    """`piece_sums` of all rows, one vector a group. `shift` moves the linear parameters first: r + Φ shift."""
    pieces = whole_stretches(n_groups, columns.residuals.shape[0] // n_groups)
    parts = piece_sums(columns, pieces, shift, robust, is_plain)
    own = parts.reshape(n_groups, -1, parts.shape[1])
    return tree_sum(jnp.swapaxes(own, 0, 1))


def piece_sums(
    columns: Columns, pieces: Pieces, shift: Float[Array, "K m"], robust: Robust, is_plain: Array | bool = False
) -> Float[Array, "P width"]:
    """Per piece the Gram matrix of [Φ J r], weighted, the loss, Σ r² and Φᵀ diag(ρ') Φ: see `Arrow`.

    Args:
        is_plain: whether the linear loss is taken after all.
    """
    n = columns.residuals.shape[0]
    width = min(PIECE, n)

    def one(piece: Pieces) -> Float[Array, " width"]:
        first = jnp.clip(piece.start, 0, n - width)
        row = first + jnp.arange(width)
        is_own = (row >= piece.start) & (row < piece.stop)

        def own(rows: Array) -> Array:
            return jnp.where(is_own[None, :], jax.lax.dynamic_slice_in_dim(rows, first, width, 1), 0.0)

        phi = own(columns.phi)
        move = jax.lax.dynamic_index_in_dim(shift, piece.slot, keepdims=False)
        r = own(columns.residuals[None, :])[0] + jnp.sum(phi * move[:, None], axis=0)
        sides = phi if columns.jacobian is None else jnp.concatenate([phi, own(columns.jacobian)])
        return _weighed(sides, r, len(columns.phi), robust, is_plain)

    return jax.lax.map(one, pieces)


def _weighed(sides: Float[Array, "q n"], r: Float[Array, " n"], m: int, robust: Robust, is_plain: Array | bool):
    weights = weighted(robust.kind, r, robust.f_scale)
    squares = jnp.sum(r * r)
    if weights.gradient is None or weights.curvature is None:
        gram = _gram(jnp.concatenate([sides, r[None, :]]))
        return jnp.concatenate([gram.ravel(), jnp.stack([weights.value, squares]), gram[:m, :m].ravel()])
    first = jnp.where(is_plain, 1.0, weights.gradient)
    root = jnp.where(is_plain, 1.0, jnp.sqrt(weights.curvature))
    gram = _gram(jnp.concatenate([sides * root[None, :], (first * r / root)[None, :]]))
    sure = _gram(sides[:m] * jnp.sqrt(first)[None, :])
    loss = jnp.where(is_plain, 0.5 * squares, weights.value)
    return jnp.concatenate([gram.ravel(), jnp.stack([loss, squares]), sure.ravel()])


def _gram(rows: Float[Array, "e n"]) -> Float[Array, "e e"]:
    return rows @ rows.T


def triangles_of_windows(columns: Columns, pieces: Pieces, width: int, robust: Robust) -> Float[Array, "P e e"]:
    """R of [Φ J r], weighted, of windows of at most `width` rows."""
    n = columns.residuals.shape[0]
    assert columns.jacobian is not None
    rows = jnp.concatenate([columns.phi, columns.jacobian, columns.residuals[None, :]])

    def one(piece: Pieces) -> Float[Array, "e e"]:
        first = jnp.clip(piece.start, 0, n - width)
        row = first + jnp.arange(width)
        is_own = (row >= piece.start) & (row < piece.stop)
        own = jnp.where(is_own[None, :], jax.lax.dynamic_slice_in_dim(rows, first, width, 1), 0.0)
        weights = weighted(robust.kind, own[-1], robust.f_scale)
        if weights.gradient is None or weights.curvature is None:
            return triangle_of(own)
        root = jnp.sqrt(weights.curvature)
        return triangle_of(jnp.concatenate([own[:-1] * root[None, :], (weights.gradient * own[-1] / root)[None, :]]))

    return jax.lax.map(one, pieces)
