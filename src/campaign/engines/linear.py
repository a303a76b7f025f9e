"""Small dense linear algebra in an engine: Gram matrices, damped normal equations, covariances.

Few unknowns need no LAPACK: on a CPU a call into it, or into the matrix library, costs more than the arithmetic, and
keeps the compiler from making one function of a whole fit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Bool, Float, Int

T = TypeVar("T")
UNROLLED = 8  # up to this many unknowns, algebra is written out
PIECE = 256  # rows that are added at once: few enough that no library shares them among threads


def only_if(is_needed: Bool[Array, ""], compute: Callable[[], T], otherwise: T) -> T:
    """`compute()` where it is needed, as a loop of at most one pass: XLA compiles it faster than a branch, and keeps
    the step around it one function.
    """

    def once(_: tuple[Array, T]) -> tuple[Array, T]:
        return jnp.asarray(False), compute()

    return jax.lax.while_loop(lambda carry: carry[0], once, (is_needed, otherwise))[1]


def diagonal(matrix: Float[Array, "d d"]) -> Float[Array, " d"]:
    """The diagonal, without the gather that `jnp.diagonal` is."""
    return jnp.sum(jnp.where(jnp.eye(matrix.shape[0], dtype=bool), matrix, 0.0), axis=1)


def gram(rows: Float[Array, "d N"]) -> Float[Array, "d d"]:
    """R Rᵀ. Long products of matrices are added up in pieces: see `PIECE`."""
    d, n = rows.shape
    if d <= UNROLLED:
        return jnp.stack([rows @ rows[k] for k in range(d)])
    if n <= PIECE:
        return rows @ rows.T
    n_pieces = -(-n // PIECE)
    pieces = jnp.pad(rows, ((0, 0), (0, n_pieces * PIECE - n))).reshape(d, n_pieces, PIECE)
    return jnp.sum(jnp.einsum("ikp,jkp->kij", pieces, pieces), axis=0)


class Factor(NamedTuple):
    """L of A = L Lᵀ for a symmetric positive definite A: rows left of the diagonal, and the inverse of the diagonal.

    Beyond `UNROLLED` unknowns `lower` is L itself.

    Outside the domain: NaN or infinite where A is not positive definite.
    Checked: tests/unit/engines/test_linear.py against numpy.linalg.
    """

    lower: list[list[Array]] | Float[Array, "d d"]
    inverse_pivot: list[Array]

    def forward(self, rhs: Float[Array, " d"]) -> Float[Array, " d"]:
        """y of L y = b."""
        if not isinstance(self.lower, list):
            return solve_triangular(self.lower, rhs, lower=True)
        y: list[Array] = []
        for i, row in enumerate(self.lower):
            y.append(_minus(rhs[i], row, y) * self.inverse_pivot[i])
        return jnp.stack(y)

    def solve(self, rhs: Float[Array, " d"]) -> Float[Array, " d"]:
        """x of A x = b."""
        y = self.forward(rhs)
        if not isinstance(self.lower, list):
            return solve_triangular(self.lower, y, lower=True, trans=1)
        d = len(self.lower)
        x: list[Array] = []  # from the last unknown to the first
        for i in reversed(range(d)):
            column = [self.lower[k][i] for k in reversed(range(i + 1, d))]
            x.append(_minus(y[i], column, x) * self.inverse_pivot[i])
        return jnp.stack(x[::-1])

    def pivots(self) -> Float[Array, " d"]:
        """Squared diagonal of L."""
        if not isinstance(self.lower, list):
            return diagonal(self.lower) ** 2
        return 1.0 / jnp.stack(self.inverse_pivot) ** 2


def factor_of(matrix: Float[Array, "d d"]) -> Factor:
    """The Cholesky factor of a symmetric matrix."""
    if matrix.shape[0] > UNROLLED:
        return Factor(jnp.linalg.cholesky(matrix, symmetrize_input=False), [])
    lower: list[list[Array]] = []
    inverse_pivot: list[Array] = []
    for i in range(matrix.shape[0]):
        row: list[Array] = []
        for j in range(i):
            row.append(_minus(matrix[i, j], row, lower[j]) * inverse_pivot[j])
        inverse_pivot.append(1.0 / jnp.sqrt(_minus(matrix[i, i], row, row)))
        lower.append(row)
    return Factor(lower, inverse_pivot)


def rank_tolerance(n: int, d: int, dtype) -> float:
    """Length of a unit column below which it is rounding, after the others have been taken out of it.

    Each of the N entries of a column carries a rounding error, and sums over N entries (in a triangle, in an inner
    product) carry about √N of them.
    """
    return max(n, d) ** 0.5 * d * float(jnp.finfo(dtype).eps)


def _minus(value: Array, a: list[Array], b: list[Array]) -> Array:
    """value − a·b over the shorter of the two."""
    for p, q in zip(a, b, strict=False):
        value = value - p * q
    return value


def invert_spd(matrix: Float[Array, "d d"]) -> Float[Array, "d d"]:
    """A⁻¹ for a symmetric positive definite A, by d sweeps of Gauss and Jordan.

    Outside the domain: not finite, or not positive on the diagonal, where A is not positive definite.
    Checked: tests/unit/engines/test_linear.py against numpy.linalg.inv.
    """
    d = matrix.shape[0]
    if d > UNROLLED:
        return jnp.linalg.inv(matrix)
    places = jnp.arange(d)

    def sweep(k: Array, matrix: Array) -> Array:
        at_k = places == k
        row, column = (jnp.sum(jnp.where(at_k, side, 0.0), axis=1) for side in (matrix.T, matrix))
        row = jnp.where(at_k, 1.0, row) / jnp.sum(jnp.where(at_k, column, 0.0))
        rest = jnp.where(at_k[None, :], 0.0, matrix) - jnp.where(at_k, 0.0, column)[:, None] * row[None, :]
        return jnp.where(at_k[:, None], row[None, :], rest)

    return jax.lax.fori_loop(0, d, sweep, matrix)


class Covariance(NamedTuple):
    """What the Jacobian at the minimum says of the parameters.

    Attributes:
        matrix: (JᵀJ)⁻¹ over the identified parameters that move; NaN in the rows and columns of the others.
        unidentified: parameters that take part in a direction which the data do not constrain, or whose column is not
            finite.
        condition: Frobenius condition number of J with unit columns, over the d parameters that move:
            √(d·tr (JᵀJ)⁻¹), at least d, between κ₂ and d·κ₂; infinite where a direction is not constrained.
        rank: of J, all parameters included.
    """

    matrix: Float[Array, "d d"]
    unidentified: Bool[Array, " d"]
    condition: Float[Array, ""]
    rank: Int[Array, ""]


def from_gram(matrix: Float[Array, "d d"], fixed: Bool[Array, " d"]) -> Covariance:
    """`covariance` from H = JᵀJ alone: cheap, with a relative error of about eps·condition². Every direction counts.

    Checked: tests/unit/engines/test_linear.py against numpy.linalg.inv.
    """
    square = diagonal(matrix)
    scale = jnp.where(fixed | ~(square > 0), 1.0, 1.0 / jnp.sqrt(square))
    apart = jnp.diag(jnp.ones_like(square))
    unit = matrix * scale[:, None] * scale[None, :]
    inverse = invert_spd(jnp.where(fixed[:, None] | fixed[None, :], apart, unit))
    size = jnp.where(fixed, 0.0, diagonal(inverse))
    positive = jnp.all(fixed | (size > 0))  # false for NaN as well
    condition = jnp.where(positive, jnp.sqrt(jnp.sum(~fixed) * jnp.sum(size)), jnp.inf)
    keep = jnp.where(fixed, jnp.nan, scale)
    rank = jnp.asarray(square.shape[0], jnp.int32)
    return Covariance(inverse * keep[:, None] * keep[None, :], jnp.zeros_like(fixed), condition, rank)


def covariance(rows: Float[Array, "d m"], fixed: Bool[Array, " d"], n: int | None = None) -> Covariance:
    """(JᵀJ)⁻¹ by Gram–Schmidt with column pivoting, done twice: JᵀJ is never formed, and the rank is found.

    With unit columns a_j of J: the longest remaining column becomes the next orthonormal q_k = Σ_j t_kj a_j, and is
    taken out of the others. Then (AᵀA)⁻¹ = Σ_k t_k t_kᵀ. A remaining column that is at most `rank_tolerance` long is
    Σ_j m_j a_j ≈ 0: the data do not constrain the direction m. A parameter takes part in it where m_j² > eps·|m|², and
    gets no error; the errors of the others do not depend on how the direction is resolved. Such directions are sought
    among all parameters, the fixed ones included: that a bound stops one of them tells nothing of the others.

    Args:
        rows: Jᵀ, any units, or Rᵀ of a triangle with RᵀR = JᵀJ.
        fixed: parameters held where they are (at a bound): the others' covariance is conditional on them.
        n: N, the rows of J, where `rows` is a triangle.

    Outside the domain: all NaN where J is not finite; the parameters whose columns are not are `unidentified`.
    Source: Golub & Van Loan, Matrix Computations, 4th ed., 5.2.8, 5.4.2; Giraud et al. 2005, Numer. Math. 101, 87.
    Checked: tests/unit/engines/test_linear.py against numpy.linalg.pinv and closed forms.
    """
    d, m = rows.shape
    has_value = jnp.all(jnp.isfinite(rows), axis=1)
    finite = jnp.all(has_value)
    rows = jnp.where(finite, rows, 1.0)
    length = jnp.sqrt(jnp.sum(rows * rows, axis=1))
    scale = jnp.where(length > 0, 1.0 / jnp.where(length > 0, length, 1.0), 0.0)
    unit = rows * scale[:, None]
    tolerance = rank_tolerance(m if n is None else n, d, rows.dtype)
    both = jax.vmap(lambda own: _orthogonalised(unit, own, tolerance))(jnp.stack([jnp.zeros_like(fixed), fixed]))
    whole, moving = (jax.tree.map(lambda leaf, k=k: leaf[k], both) for k in range(2))
    unidentified = whole.unidentified | moving.unidentified
    keep = jnp.where(unidentified | fixed | ~finite, jnp.nan, scale)
    condition = jnp.sqrt(jnp.sum(~fixed) * jnp.sum(diagonal(moving.inverse)))
    condition = jnp.where(jnp.any(moving.unidentified), jnp.inf, condition)
    return Covariance(
        matrix=moving.inverse * keep[:, None] * keep[None, :],
        unidentified=jnp.where(finite, unidentified, ~has_value),
        condition=jnp.where(finite, condition, jnp.nan),
        rank=whole.rank,
    )


def by_scatter(
    matrix: Float[Array, "d d"], unidentified: Bool[Array, " d"], squares: Float[Array, ""], dof: Int[Array, ""]
) -> tuple[Float[Array, "d d"], Bool[Array, " d"]]:
    """Covariance and `unidentified` where only the scatter Σ r² tells the errors of the data: times Σ r²/dof.

    Without a degree of freedom nothing tells their size, and no parameter has an error.
    """
    return matrix * jnp.where(dof > 0, squares / jnp.maximum(dof, 1), jnp.nan), unidentified | (dof <= 0)


class _Orthogonalised(NamedTuple):
    """(AᵀA)⁻¹ over the directions that are constrained, which parameters take part in the others, and the rank."""

    inverse: Float[Array, "d d"]
    unidentified: Bool[Array, " d"]
    rank: Int[Array, ""]


def _orthogonalised(unit: Float[Array, "d m"], fixed: Bool[Array, " d"], tolerance: float) -> _Orthogonalised:
    """Pivoted Gram–Schmidt, twice, of unit columns (the rows of `unit`), the fixed ones left out."""
    d = unit.shape[0]
    eps = jnp.finfo(unit.dtype).eps

    def take(_, carry):
        left, made_of, done, total = carry
        norm = jnp.where(done, -1.0, jnp.sqrt(jnp.sum(left * left, axis=1)))
        pivot = jnp.arange(d) == jnp.argmax(norm)
        longest = jnp.max(norm)
        found = longest > tolerance
        weight = jnp.where(pivot & found, 1.0 / jnp.where(found, longest, 1.0), 0.0)
        q, t = weight @ left, weight @ made_of
        others = ~(done | pivot)
        for _twice in range(2):
            share = jnp.where(others, left @ q, 0.0)
            left = left - share[:, None] * q[None, :]
            made_of = made_of - share[:, None] * t[None, :]
        return left, made_of, done | (pivot & found), total + t[:, None] * t[None, :]

    start = (jnp.where(fixed[:, None], 0.0, unit), jnp.eye(d, dtype=unit.dtype), fixed, jnp.zeros((d, d), unit.dtype))
    _, made_of, done, total = jax.lax.fori_loop(0, d, take, start)
    null = ~done
    share = made_of**2 > eps * jnp.sum(made_of**2, axis=1)[:, None]
    unidentified = jnp.any(null[:, None] & share, axis=0) & ~fixed
    return _Orthogonalised(total, unidentified, jnp.sum(done & ~fixed).astype(jnp.int32))
