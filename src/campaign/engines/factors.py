"""Orthogonal factors of small matrices: a triangle, singular values. Up to `UNROLLED` columns without LAPACK.

A call into LAPACK anywhere in a step, even in a branch that is not taken, keeps XLA from making one function of a whole
fit: 130 µs a fit of four parameters instead of 20 µs.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from campaign.engines.linear import UNROLLED

SWEEPS = 12  # of one-sided Jacobi; it converges quadratically, 9 × 9 matrices take 6 or 7


def triangle_of(columns: Float[Array, "e n"]) -> Float[Array, "e e"]:
    """R of A = Q R, A = `columns`ᵀ; up to signs of its rows. Zero rows where there are fewer rows than columns.

    Modified Gram–Schmidt. Its R is that of a matrix within rounding of A, as Householder's is; the rows of Qᵀ, which
    lose their orthogonality where columns depend on each other, are not needed.

    Outside the domain: not finite where A is not.
    Source: Björck & Paige 1992, SIAM J. Matrix Anal. Appl. 13, 176.
    Checked: tests/unit/engines/test_factors.py against numpy.linalg.
    """
    e, n = columns.shape
    if e > UNROLLED + 1:
        factor = jnp.linalg.qr(columns.T, mode="r")
        return jnp.concatenate([factor, jnp.zeros((max(e - n, 0), e), factor.dtype)])
    indices = jnp.arange(e)

    def take(k, carry):
        left, factor = carry
        own, later = indices == k, indices > k
        column = jnp.sum(jnp.where(own[:, None], left, 0.0), axis=0)
        length = jnp.sqrt(jnp.sum(column * column))
        q = jnp.where(length > 0, 1.0 / jnp.where(length > 0, length, 1.0), 0.0) * column
        share = jnp.where(later, jnp.sum(left * q[None, :], axis=1), 0.0)
        row = jnp.where(own, length, share)
        return left - share[:, None] * q[None, :], jnp.where(own[:, None], row[None, :], factor)

    return jax.lax.fori_loop(0, e, take, (columns, jnp.zeros((e, e), columns.dtype)))[1]


def singular_values(matrix: Float[Array, "d d"]) -> tuple[Float[Array, "d d"], Float[Array, " d"], Float[Array, "d d"]]:
    """U, s, Vᵀ with A = U diag(s) Vᵀ, in any order; columns of U are 0 where s is.

    One-sided Jacobi: pairs of columns of A V are turned until all are orthogonal.

    Outside the domain: not finite where A is not.
    Source: Golub & Van Loan, Matrix Computations, 4th ed., 8.6.3.
    Checked: tests/unit/engines/test_factors.py against numpy.linalg.
    """
    d = matrix.shape[0]
    if d > UNROLLED:
        u, s, vt = jnp.linalg.svd(matrix)
        return u, s, vt
    if d == 1:
        return jnp.sign(matrix), jnp.abs(matrix[0]), jnp.ones_like(matrix)
    eps = jnp.finfo(matrix.dtype).eps
    first, second = np.triu_indices(d, 1)
    unit = jnp.eye(d, dtype=matrix.dtype)
    picks = unit[first], unit[second]

    def turn(k, carry):
        turned, right = carry  # rows are columns of A V, and of V
        at_i, at_j = (pick[k % len(first)] for pick in picks)
        a, b = jnp.sum(at_i[:, None] * turned, axis=0), jnp.sum(at_j[:, None] * turned, axis=0)
        v, w = jnp.sum(at_i[:, None] * right, axis=0), jnp.sum(at_j[:, None] * right, axis=0)
        alpha, beta, gamma = jnp.sum(a * a), jnp.sum(b * b), jnp.sum(a * b)
        is_done = jnp.abs(gamma) <= eps * jnp.sqrt(alpha) * jnp.sqrt(beta)
        zeta = (beta - alpha) / (2.0 * jnp.where(is_done, 1.0, gamma))
        tangent = jnp.where(zeta >= 0, 1.0, -1.0) / (jnp.abs(zeta) + jnp.sqrt(1.0 + zeta * zeta))
        tangent = jnp.where(is_done, 0.0, tangent)
        cosine = 1.0 / jnp.sqrt(1.0 + tangent * tangent)
        sine = cosine * tangent
        rest = 1.0 - at_i - at_j

        def put(rows, x, y):
            new_i, new_j = cosine * x - sine * y, sine * x + cosine * y
            return rest[:, None] * rows + at_i[:, None] * new_i[None, :] + at_j[:, None] * new_j[None, :]

        return put(turned, a, b), put(right, v, w)

    turned, right = jax.lax.fori_loop(0, SWEEPS * len(first), turn, (matrix.T, unit))
    s = jnp.sqrt(jnp.sum(turned * turned, axis=1))
    left = turned * jnp.where(s > 0, 1.0 / jnp.where(s > 0, s, 1.0), 0.0)[:, None]
    return left.T, s, right
