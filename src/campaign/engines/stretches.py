"""Sums over the stretches of the residuals, a stretch a group, in pieces of at most `PIECE` rows.

Every piece belongs to one group. The Gram matrix of all its columns is one product; what is done with the columns
afterwards is done with these small matrices.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
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

    def all_rows(self) -> Float[Array, "e N"]:
        """[Φ J r]."""
        sides = (self.phi,) if self.jacobian is None else (self.phi, self.jacobian)
        return jnp.concatenate([*sides, self.residuals[None, :]])


class Cuts(NamedTuple):
    """Where the groups of a run of rows begin.

    Attributes:
        low: the first row that counts.
        border: where each further group begins, in order; the number of rows where it begins beyond them.
        offset: rows from the beginning of the group of row `low` to row 0.
        stretch: rows of a group. Static.
    """

    low: Int[Array, ""]
    border: Int[Array, " n"]
    offset: Int[Array, ""]
    stretch: int


class Windows(NamedTuple):
    """Runs of rows, `start` to `stop` − 1."""

    start: Int[Array, " P"]
    stop: Int[Array, " P"]

    @classmethod
    def of(cls, cuts: Cuts, n: int) -> Windows:
        """The groups of n rows."""
        last = jnp.full(1, n, jnp.int32)
        return cls(jnp.concatenate([cuts.low[None], cuts.border]), jnp.concatenate([cuts.border, last]))


def sums_of_groups(
    columns: Columns, n_groups: int, shift: Float[Array, "K m"], robust: Robust, is_plain: Array | bool = False
) -> Float[Array, "K k"]:
    """The sums of all rows, a stretch after the other: see `Arrow`.

    Args:
        shift: how far the linear parameters of each group are moved first: r + Φ shift.
        is_plain: whether the linear loss is taken after all.
    """
    stretch = columns.residuals.shape[0] // n_groups

    def one(k: Int[Array, ""]) -> Float[Array, " k"]:
        own = jax.tree.map(
            lambda rows: jax.lax.dynamic_slice_in_dim(rows, k * stretch, stretch, rows.ndim - 1), columns
        )
        moved = own.residuals + jnp.sum(own.phi * shift[k][:, None], axis=0)
        rows = weighed(own._replace(residuals=moved), robust, is_plain)
        return tree_sum(sums_of_pieces(_in_pieces(rows, min(PIECE, stretch)), len(columns.phi), robust))

    return jax.lax.map(one, jnp.arange(n_groups, dtype=jnp.int32))


def sums_of_run(columns: Columns, cuts: Cuts, robust: Robust) -> Float[Array, "slots k"]:
    """The same of a run of rows, by the groups in it. A piece ends at a border, and the rest of it is another."""
    n, m = columns.residuals.shape[0], len(columns.phi)
    width = min(PIECE, cuts.stretch, n)
    rows = weighed(columns, robust, False)
    start = jnp.arange(0, n, width, dtype=jnp.int32)
    is_inside = (cuts.border[None, :] > start[:, None]) & (cuts.border[None, :] < start[:, None] + width)
    stop = jnp.min(jnp.where(is_inside, cuts.border[None, :], start[:, None] + width), axis=1, initial=n)
    place = start[:, None] + jnp.arange(width, dtype=jnp.int32)[None, :]
    counts = (place >= cuts.low) & (place < stop[:, None])
    regular = sums_of_pieces(jnp.where(counts[:, None, :], _in_pieces(rows, width), 0.0), m, robust)
    slot = jnp.clip((jnp.maximum(start, cuts.low) + cuts.offset) // cuts.stretch, 0, len(cuts.border))
    if len(cuts.border) == 0:
        return tree_sum(regular)[None]
    end = jnp.minimum((cuts.border + width - 1) // width * width, n)  # of the piece that a border cuts
    cut = _windows(rows, Windows(cuts.border, end), width)
    further = sums_of_pieces(cut, m, robust)
    slots = jnp.concatenate([slot, jnp.arange(1, len(cuts.border) + 1, dtype=slot.dtype)])
    return jax.ops.segment_sum(jnp.concatenate([regular, further]), slots, len(cuts.border) + 1)


def sums_of_pieces(rows: Float[Array, "P q w"], m: int, robust: Robust) -> Float[Array, "P k"]:
    """What `Arrow.of` takes, of each piece, from what `weighed` gives."""
    n = rows.shape[0]
    e = rows.shape[1] if robust.kind == "linear" else rows.shape[1] - 2 - m
    gram = jnp.einsum("kip,kjp->kij", rows[:, :e], rows[:, :e])
    if robust.kind == "linear":
        squares = gram[:, -1, -1]
        scalars, sure = jnp.stack([0.5 * squares, squares], axis=1), gram[:, :m, :m]
    else:
        scalars = jnp.sum(rows[:, e : e + 2], axis=2)
        sure = jnp.einsum("kip,kjp->kij", rows[:, e + 2 :], rows[:, e + 2 :])
    return jnp.concatenate([gram.reshape(n, -1), scalars, sure.reshape(n, -1)], axis=1)


def triangles_of(columns: Columns, windows: Windows, width: int, robust: Robust) -> Float[Array, "P e e"]:
    """R of [Φ J r], weighted, of windows of at most `width` rows."""
    e = columns.all_rows().shape[0]
    rows = weighed(columns, robust, False)[:e]

    def one(window: Windows) -> Float[Array, "e e"]:
        return triangle_of(_window(rows, window, width))

    return jax.lax.map(one, windows)


def weighed(columns: Columns, robust: Robust, is_plain: Array | bool) -> Float[Array, "q N"]:
    """[Φ J r] with weights; with a robust loss the loss and r² of each row and Φ √ρ' as well."""
    rows, r = columns.all_rows(), columns.residuals
    weights = weighted(robust.kind, r, robust.f_scale)
    if weights.gradient is None or weights.curvature is None:
        return rows
    first = jnp.where(is_plain, 1.0, weights.gradient)
    root = jnp.where(is_plain, 1.0, jnp.sqrt(weights.curvature))
    loss = jnp.where(is_plain, 0.5 * r * r, weights.rows)
    weighed = jnp.concatenate([rows[:-1] * root[None, :], (first * r / root)[None, :]])
    return jnp.concatenate([weighed, jnp.stack([loss, r * r]), columns.phi * jnp.sqrt(first)[None, :]])


def _in_pieces(rows: Float[Array, "q N"], width: int) -> Float[Array, "P q w"]:
    """0 in the place of rows beyond the end."""
    q, n = rows.shape
    n_pieces = -(-n // width)
    return jnp.swapaxes(jnp.pad(rows, ((0, 0), (0, n_pieces * width - n))).reshape(q, n_pieces, width), 0, 1)


def _window(rows: Float[Array, "q N"], window: Windows, width: int) -> Float[Array, "q w"]:
    first = jnp.clip(window.start, 0, rows.shape[1] - width)
    place = first + jnp.arange(width)
    counts = (place >= window.start) & (place < window.stop)
    return jnp.where(counts[None, :], jax.lax.dynamic_slice_in_dim(rows, first, width, 1), 0.0)


def _windows(rows: Float[Array, "q N"], windows: Windows, width: int) -> Float[Array, "P q w"]:
    return jax.lax.map(lambda window: _window(rows, window, width), windows)
