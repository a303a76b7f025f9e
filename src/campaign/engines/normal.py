"""The normal equations of a least-squares problem at a point: from all residuals at once, or row block by row block.

A block's part depends on the block alone, and the parts are added in a fixed order, pairwise by block index. So the sum
has the same bits whoever computes which block, on one process or on several. Within a block, rows are added in pieces
of 256, pairwise again: the libraries below share longer sums among threads, and how many would show in the last bits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from campaign.engines.factors import triangle_of
from campaign.engines.linear import PIECE, gram
from campaign.engines.loss import weighted
from campaign.problem.target import Target

ROWS = 32768  # rows of a block: with 20 parameters its Jacobian takes 5 MB


class Normal(NamedTuple):
    """Loss, gradient and Gauss–Newton matrix in u, of all residuals or of one row block.

    Attributes:
        loss: ½ Σ f² ρ((r/f)²).
        gradient: JᵀWr.
        hessian: JᵀWJ.
    """

    loss: Float[Array, ""]
    gradient: Float[Array, " d"]
    hessian: Float[Array, "d d"]


class Rows(NamedTuple):
    """Weighted rows: H = J Jᵀ and g = J r for the `jacobian` J of shape (d, n) and the `residuals` r of shape (n,)."""

    loss: Float[Array, ""]
    jacobian: Float[Array, "d n"]
    residuals: Float[Array, " n"]

    def normal(self) -> Normal:
        return Normal(self.loss, self.jacobian @ self.residuals, gram(self.jacobian))

    def triangle(self) -> Float[Array, "e e"]:
        """R of the QR factorisation of [Jᵀ r], e = d + 1: RᵀR = [H g; gᵀ r·r]."""
        return triangle_of(jnp.concatenate([self.jacobian, self.residuals[None, :]]))


class Robust(NamedTuple):
    """Which loss weighs the residuals: one of `campaign.engines.loss.LOSSES` (static) and its f."""

    kind: str
    f_scale: Float[Array, ""]


class Given(NamedTuple):
    """What passes over the rows gave that were made outside of a program.

    Attributes:
        normal: the normal equations where they were asked for.
        triangle: R of [J r] there; zeros where it was not needed.
    """

    normal: Normal
    triangle: Float[Array, "e e"]


def all_rows(target: Target, u: Float[Array, " d"], robust: Robust) -> Rows:
    """All rows at once, by one forward-mode pass."""
    return _weigh(*_tangents(target.residuals, u), robust)


def n_chunks(target: Target, rows: int = ROWS) -> int:
    """How many row blocks the residuals have, static."""
    return -(-target.n_residuals // rows)


def partial(target: Target, u: Float[Array, " d"], chunk: Int[Array, ""], robust: Robust, rows: int = ROWS) -> Normal:
    """What one row block adds to the normal equations."""
    return jax.tree.map(tree_sum, _by_pieces(target, u, chunk, robust, rows, Rows.normal))


def partial_triangle(
    target: Target, u: Float[Array, " d"], chunk: Int[Array, ""], robust: Robust, rows: int = ROWS
) -> Float[Array, "e e"]:
    """R of [J r] of one row block."""
    return tree_triangle(_by_pieces(target, u, chunk, robust, rows, Rows.triangle))


def _by_pieces(
    target: Target,
    u: Float[Array, " d"],
    chunk: Int[Array, ""],
    robust: Robust,
    rows: int,
    give: Callable[[Rows], Any],
) -> Any:
    """`give` of every piece of a row block of `ChunkedResiduals`, stacked.

    The problem is never asked for rows beyond its end: the last block asks for the last rows, and those that the block
    before it has had count nothing.
    """
    n = target.n_residuals
    size = min(rows, n)
    first = jnp.minimum(chunk * size, n - size)
    is_own = first + jnp.arange(size) >= chunk * size

    def residuals(u: Float[Array, " d"]) -> Float[Array, " size"]:
        r = target.residual_rows_at(target.theta(u), first, size)
        return jnp.where(is_own, r, 0.0)

    value, rows_of_j = _tangents(residuals, u)
    n_pieces = -(-size // PIECE)
    value = jnp.pad(value, (0, n_pieces * PIECE - size))
    rows_of_j = jnp.pad(rows_of_j, ((0, 0), (0, n_pieces * PIECE - size)))

    def piece(k: Int[Array, ""]) -> Any:
        r = jax.lax.dynamic_slice_in_dim(value, k * PIECE, PIECE)
        return give(_weigh(r, jax.lax.dynamic_slice_in_dim(rows_of_j, k * PIECE, PIECE, 1), robust))

    return jax.lax.map(piece, jnp.arange(n_pieces, dtype=jnp.int32))


def combine(parts: Sequence[Normal]) -> Normal:
    """The sum of the parts of all blocks in their order, pairwise: the same bits wherever the parts come from."""
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *parts)
    return jax.tree.map(tree_sum, stacked)


def normal_equations(target: Target, u: Float[Array, " d"], robust: Robust, rows: int = ROWS) -> Normal:
    """Loss, gradient and Gauss–Newton matrix at u. Memory: O(N d), or O(rows · d) with `ChunkedResiduals`.

    Outside the domain: not finite where the model is not.
    Checked: tests/oracle/test_row_blocks.py, blocks against all rows at once, and against numpy.
    """
    if not target.is_chunked:
        return all_rows(target, u, robust).normal()
    chunks = jnp.arange(n_chunks(target, rows), dtype=jnp.int32)
    parts = jax.lax.map(lambda chunk: partial(target, u, chunk, robust, rows), chunks)
    return jax.tree.map(tree_sum, parts)


def triangle(target: Target, u: Float[Array, " d"], robust: Robust, rows: int = ROWS) -> Float[Array, "e e"]:
    """R of [J r], e = d + 1, as accurate as a QR factorisation of all rows: a second pass over the data by blocks.

    Source: Demmel et al. 2012, SIAM J. Sci. Comput. 34, A206, sec. 3 (TSQR).
    """
    if not target.is_chunked:
        return all_rows(target, u, robust).triangle()
    chunks = jnp.arange(n_chunks(target, rows), dtype=jnp.int32)
    parts = jax.lax.map(lambda chunk: partial_triangle(target, u, chunk, robust, rows), chunks)
    return tree_triangle(parts)


def tree_sum(parts: Array) -> Array:
    """The sum over the first axis, pairwise in its order."""
    return _tree(parts, jnp.add)


def tree_triangle(parts: Float[Array, "n e e"]) -> Float[Array, "e e"]:
    """R of all rows from the R of each row block, pairwise in their order."""
    return _tree(parts, lambda a, b: jax.lax.map(lambda pair: triangle_of(jnp.concatenate(pair).T), (a, b)))


def _tree(leaves: Array, add) -> Array:
    """add(…) over the leading axis, neighbours first; what has no neighbour goes up as it is."""
    while len(leaves) > 1:
        even = len(leaves) // 2 * 2
        joined = add(leaves[0:even:2], leaves[1:even:2])
        leaves = jnp.concatenate([joined, leaves[even:]])
    return leaves[0]


def _tangents(residuals, u: Float[Array, " d"]) -> tuple[Array, Array]:
    value, tangent = jax.linearize(residuals, u)
    return value, jax.vmap(tangent)(jnp.eye(u.shape[0], dtype=u.dtype))  # N contiguous


def _weigh(residuals: Array, rows: Array, robust: Robust) -> Rows:
    weights = weighted(robust.kind, residuals, robust.f_scale)
    if weights.gradient is None or weights.curvature is None:
        return Rows(weights.value, rows, residuals)
    root = jnp.sqrt(weights.curvature)
    return Rows(weights.value, rows * root[None, :], weights.gradient * residuals / root)
