"""Small dense linear algebra in an engine: damped normal equations, and an accurate covariance at the end."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jax.scipy.linalg import cho_solve
from jaxtyping import Array, Bool, Float

UNROLLED = 8  # largest d solved without LAPACK: below it a call costs more than the flops


def solve_spd(matrix: Float[Array, "d d"], rhs: Float[Array, " d"]) -> Float[Array, " d"]:
    """x of A x = b for a symmetric positive definite A, by Cholesky.

    Up to `UNROLLED` unknowns the factorisation is written out as scalar operations, which the compiler fuses; above it
    LAPACK is called.

    Outside the domain: NaN where A is not positive definite.
    Checked: tests/unit/engines/test_linear.py against numpy.linalg.solve.
    """
    d = rhs.shape[0]
    if d > UNROLLED:
        return cho_solve((jnp.linalg.cholesky(matrix, symmetrize_input=False), True), rhs)
    lower: list[list[Array]] = []
    inverse_pivot: list[Array] = []
    y: list[Array] = []
    for i in range(d):
        row: list[Array] = []
        for j in range(i):
            dot = sum((row[k] * lower[j][k] for k in range(j)), start=jnp.zeros((), rhs.dtype))
            row.append((matrix[i, j] - dot) * inverse_pivot[j])
        pivot = matrix[i, i] - sum((v * v for v in row), start=jnp.zeros((), rhs.dtype))
        inverse_pivot.append(1.0 / jnp.sqrt(pivot))  # NaN or inf where the matrix is not positive definite
        lower.append(row)
        y.append((rhs[i] - sum((row[k] * y[k] for k in range(i)), start=jnp.zeros((), rhs.dtype))) * inverse_pivot[i])
    x: list[Array] = [jnp.zeros((), rhs.dtype)] * d
    for i in reversed(range(d)):
        dot = sum((lower[k][i] * x[k] for k in range(i + 1, d)), start=jnp.zeros((), rhs.dtype))
        x[i] = (y[i] - dot) * inverse_pivot[i]
    return jnp.stack(x)


class Covariance(NamedTuple):
    """What the Jacobian at the minimum says of the parameters.

    Attributes:
        matrix: (JᵀJ)⁻¹ over the identified parameters that move; NaN in the rows and columns of the others.
        unidentified: parameters that take part in a direction which the data do not constrain.
        condition: largest over smallest singular value of J with unit columns, over the parameters that move.
    """

    matrix: Float[Array, "d d"]
    unidentified: Bool[Array, " d"]
    condition: Float[Array, ""]


def covariance(jacobian: Float[Array, "N d"], fixed: Bool[Array, " d"]) -> Covariance:
    """(JᵀJ)⁻¹ by a singular value decomposition of the column-scaled Jacobian; JᵀJ is never formed.

    With J = A·diag(c), |A_j| = 1, A = U S Vᵀ:  (JᵀJ)⁻¹ = diag(1/c) V S⁻² Vᵀ diag(1/c).
    A direction v_k counts as unidentified where s_k ≤ max(N, d)·eps·s_1 (the numerical rank of NumPy and MATLAB), and a
    parameter takes part in it where v_jk² > eps; so does a parameter whose column is zero.

    Args:
        jacobian: d r_i / d theta_j, any units.
        fixed: parameters held where they are (at a bound): the others' covariance is conditional on them.

    Outside the domain: all NaN where J is not finite.
    Source: Golub & Van Loan, Matrix Computations, 4th ed., sec. 5.5.
    Checked: tests/unit/engines/test_linear.py against closed forms and numpy.linalg.inv.
    """
    n, d = jacobian.shape
    eps = jnp.finfo(jacobian.dtype).eps
    finite = jnp.all(jnp.isfinite(jacobian))
    jacobian = jnp.where(finite, jacobian, 1.0)
    length = jnp.sqrt(jnp.sum(jacobian * jacobian, axis=0))
    empty = length == 0
    left_out = fixed | empty
    unit = jacobian * jnp.where(left_out, 0.0, 1.0 / jnp.where(empty, 1.0, length))[None, :]
    # A column that is left out gets a row of its own: orthogonal to all others, it cannot mix with a null direction.
    _, s, vt = jnp.linalg.svd(jnp.concatenate([unit, jnp.diag(left_out.astype(unit.dtype))]), full_matrices=False)
    null = s <= max(n, d) * eps * s[0]
    half = vt * jnp.where(null, 0.0, 1.0 / jnp.where(null, 1.0, s))[:, None]
    unidentified = (jnp.any(null[:, None] & (vt * vt > eps), axis=0) | empty) & ~fixed
    scale = jnp.where(unidentified | fixed | ~finite, jnp.nan, 1.0 / jnp.where(empty, 1.0, length))
    matrix = (half.T @ half) * scale[:, None] * scale[None, :]
    return Covariance(matrix, unidentified & finite, s[0] / s[-1])
