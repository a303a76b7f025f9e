"""The normal equations of a separable problem: one block of nonlinear parameters, many small ones of linear ones.

With J = ∂r/∂u, and Φ_k = ∂r/∂c_k on the k-th stretch of the residuals, JᵀJ over all parameters is an arrow:

    H = Σ J_kᵀJ_k   E_k = J_kᵀΦ_k        the border
                    B_k = Φ_kᵀΦ_k        the diagonal

Eliminating c leaves S = H − Σ E_k B_k⁻¹ E_kᵀ and g = Jᵀr − Σ E_k B_k⁻¹ Φ_kᵀr: Gauss–Newton of the residuals
(I − Φ Φ⁺) r with the Jacobian (I − Φ Φ⁺) J of Kaufman.

Source: Kaufman 1975, BIT 15, 49; Golub & Pereyra 2003, Inverse Problems 19, R1.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from campaign.engines.box import inverse_of
from campaign.engines.factors import triangle_of
from campaign.engines.linear import diagonal, factor_of
from campaign.engines.normal import Normal
from campaign.engines.separable import Split


class Arrow(NamedTuple):
    """Sums over the stretch of each group, weighted as the loss says.

    Attributes:
        gram: of the columns [Φ J r], e = m + p + 1; without J, e = m + 1.
        loss: ½ Σ f² ρ((r/f)²).
        squares: Σ r².
        sure: Φᵀ diag(ρ') Φ: steps with it never raise the loss.
    """

    gram: Float[Array, "K e e"]
    loss: Float[Array, " K"]
    squares: Float[Array, " K"]
    sure: Float[Array, "K m m"]

    @classmethod
    def of(cls, sums: Float[Array, "K width"], m: int) -> Arrow:
        """From the vectors that `as_vector` makes."""
        e = int(np.sqrt(sums.shape[1] - 2 - m * m) + 0.5)
        gram, rest = sums[:, : e * e], sums[:, e * e :]
        k = sums.shape[0]
        return cls(gram.reshape(k, e, e), rest[:, 0], rest[:, 1], rest[:, 2:].reshape(k, m, m))

    @property
    def width(self) -> int:
        """m."""
        return self.sure.shape[1]

    @property
    def diagonal_blocks(self) -> Float[Array, "K m m"]:
        return self.gram[:, : self.width, : self.width]

    @property
    def slopes(self) -> Float[Array, "K m"]:
        """Φᵀr."""
        return self.gram[:, : self.width, -1]


class Reduced(NamedTuple):
    """What is left of the nonlinear parameters.

    Attributes:
        border: H alone: JᵀJ with the linear parameters where they are.
        pivot: smallest squared pivot of JᵀJ over all parameters with unit columns, at least 1/κ²; 1 where nothing is
            finite.
    """

    normal: Normal
    border: Float[Array, "p p"]
    pivot: Float[Array, ""]


def free_ones(c: Float[Array, "K m"], slopes: Float[Array, "K m"], bounds) -> Bool[Array, "K m"]:
    """Linear parameters that no bound holds."""
    if bounds is None:
        return jnp.ones(c.shape, bool)
    lower, upper = bounds
    return ~(((c <= lower) & (slopes > 0)) | ((c >= upper) & (slopes < 0)))


def reduced(arrow: Arrow, free: Bool[Array, "K m"]) -> Reduced:
    """S and g: the linear parameters that are free eliminated, the others held."""
    m = arrow.width
    inverse = jax.vmap(inverse_of)(arrow.diagonal_blocks, free)
    edge = arrow.gram[:, m:, :m]  # E and rᵀΦ
    share = jnp.einsum("kim,kmn->kin", edge, inverse.matrix)
    whole = jnp.sum(arrow.gram[:, m:, m:], axis=0)
    left = whole - jnp.einsum("kim,kjm->ij", share, edge)
    border = whole[:-1, :-1]
    square = diagonal(border)
    pivots = factor_of(left[:-1, :-1]).pivots() / square
    pivot = jnp.minimum(jnp.min(inverse.pivot), jnp.min(pivots))
    loss = jnp.sum(arrow.loss)
    is_finite = jnp.isfinite(loss + jnp.sum(square))
    normal = Normal(loss, left[:-1, -1], left[:-1, :-1])
    return Reduced(normal, border, jnp.where(is_finite, jnp.where(jnp.isnan(pivot), 0.0, pivot), 1.0))


def projected(triangles: Float[Array, "K e e"], free: Bool[Array, "K m"], tolerance: float) -> Float[Array, "q q"]:
    """R of (I − Φ Φ⁺) [J r], q = p + 1, over all groups, from R of [Φ J r] of each.

    Columns of Φ that are held, or at most `tolerance` of their length after the others are taken out, do not count.
    """
    m = free.shape[1]

    def one(factor: Float[Array, "e e"], kept: Bool[Array, " m"]) -> Float[Array, "e q"]:
        columns = factor.T

        def take(j: Array, left: Array) -> Array:
            own = jnp.arange(columns.shape[0]) == j
            column = jnp.sum(jnp.where(own[:, None], left, 0.0), axis=0)
            whole = jnp.sum(jnp.where(own[:, None], columns, 0.0), axis=0)
            length, full = jnp.sqrt(jnp.sum(column * column)), jnp.sqrt(jnp.sum(whole * whole))
            counts = (length > tolerance * full) & kept[j]
            q = jnp.where(counts, 1.0 / jnp.where(counts, length, 1.0), 0.0) * column
            for _twice in range(2):
                share = jnp.where(own, 0.0, jnp.sum(left * q[None, :], axis=1))
                left = left - share[:, None] * q[None, :]
            return left

        return jax.lax.fori_loop(0, m, take, columns)[m:].T

    rest = jax.vmap(one)(triangles, free)
    return triangle_of(rest.reshape(-1, rest.shape[2]).T)


def whole_matrix(arrow: Arrow, split: Split) -> Float[Array, "d d"]:
    """JᵀJ over all free parameters, in their order."""
    m, d = arrow.width, len(split.nonlinear) + split.n_groups * split.width
    border, linear = np.array(split.nonlinear), np.array(split.linear)
    edge = arrow.gram[:, m:-1, :m]
    full = jnp.zeros((d, d), arrow.gram.dtype)
    full = full.at[border[:, None], border[None, :]].set(jnp.sum(arrow.gram[:, m:-1, m:-1], axis=0))
    full = full.at[linear[:, :, None], linear[:, None, :]].set(arrow.diagonal_blocks)
    full = full.at[border[None, :, None], linear[:, None, :]].set(edge)
    return full.at[linear[:, None, :], border[None, :, None]].set(edge)


def whole_rows(triangles: Float[Array, "K e e"], split: Split) -> Float[Array, "d n"]:
    """Jᵀ over all free parameters, compressed to few rows of the same JᵀJ."""
    m, k = split.width, split.n_groups
    p = len(split.nonlinear)
    own, edge = triangles[:, :m, :m], triangles[:, :m, m:-1]
    rest = triangles[:, m:, m:-1].reshape(-1, p)
    rest = triangle_of(rest.T)
    border, linear = np.array(split.nonlinear), np.array(split.linear)
    rows = np.arange(k * m).reshape(k, m)
    full = jnp.zeros((p + k * m, k * m + p), triangles.dtype)
    full = full.at[linear[:, None, :], rows[:, :, None]].set(own)
    full = full.at[border[None, None, :], rows[:, :, None]].set(edge)
    return full.at[border[:, None], k * m + np.arange(p)[None, :]].set(rest.T)


def information_left(reduced: Reduced, held: Bool[Array, " p"]) -> Float[Array, ""]:
    """Smallest eigenvalue of H^−½ S H^−½: what the data still say of the nonlinear parameters, in the direction that
    the linear ones can imitate best. 1 where they can imitate nothing, 0 where everything of a direction.

    Args:
        held: nonlinear parameters at a bound, which are left out.
    """
    apart = jnp.diag(jnp.ones(held.shape))
    hidden = held[:, None] | held[None, :]
    square = diagonal(reduced.border)
    scale = 1.0 / jnp.sqrt(jnp.where(square > 0, square, 1.0))
    border, left = (
        jnp.where(hidden, apart, matrix * scale[:, None] * scale[None, :])
        for matrix in (reduced.border, reduced.normal.hessian)
    )
    root = jnp.linalg.cholesky(border)
    half = jax.scipy.linalg.solve_triangular(root, left, lower=True)
    least = jnp.min(jnp.linalg.eigvalsh(jax.scipy.linalg.solve_triangular(root, half.T, lower=True)))
    return jnp.where(jnp.isfinite(least), jnp.clip(least, 0.0, 1.0), 0.0)
