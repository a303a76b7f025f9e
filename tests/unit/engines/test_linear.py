"""Small linear algebra against NumPy, and the rank of a Jacobian against what it was made to be."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from campaign.engines.linear import UNROLLED, covariance, diagonal, factor_of, from_gram, gram, invert_spd

jax.config.update("jax_enable_x64", True)

SIZES = (1, 2, 4, UNROLLED, UNROLLED + 3)


def spd(d: int) -> np.ndarray:
    a = np.random.default_rng(d).standard_normal((2 * d + 1, d))
    return a.T @ a


@pytest.mark.parametrize("d", SIZES)
def test_solve_and_invert(d):
    matrix, rhs = spd(d), np.arange(1.0, d + 1)
    np.testing.assert_allclose(
        factor_of(jnp.asarray(matrix)).solve(jnp.asarray(rhs)), np.linalg.solve(matrix, rhs), rtol=1e-9
    )
    np.testing.assert_allclose(invert_spd(jnp.asarray(matrix)), np.linalg.inv(matrix), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("d", SIZES)
def test_a_factor_is_that_of_numpy(d):
    matrix, rhs, factor = spd(d), np.arange(1.0, d + 1), factor_of(jnp.asarray(spd(d)))
    lower = np.linalg.cholesky(matrix)
    np.testing.assert_allclose(factor.forward(jnp.asarray(rhs)), np.linalg.solve(lower, rhs), rtol=1e-9)
    np.testing.assert_allclose(factor.pivots(), np.diag(lower) ** 2, rtol=1e-9)


@pytest.mark.parametrize("d", SIZES)
def test_gram_and_diagonal(d):
    rows = np.random.default_rng(d).standard_normal((d, 7))
    np.testing.assert_allclose(gram(jnp.asarray(rows)), rows @ rows.T, rtol=1e-13, atol=1e-13)
    np.testing.assert_array_equal(diagonal(jnp.asarray(spd(d))), np.diag(spd(d)))


def test_a_matrix_that_is_not_positive_definite_has_no_solution():
    assert not np.all(np.isfinite(factor_of(jnp.array([[1.0, 2.0], [2.0, 1.0]])).solve(jnp.ones(2))))


@pytest.mark.parametrize("d", SIZES)
def test_covariance_of_a_full_rank_jacobian(d):
    jacobian = np.random.default_rng(d + 50).standard_normal((3 * d, d)) * 10.0 ** np.arange(d)[None, :]
    free = jnp.zeros(d, bool)
    expected = np.linalg.inv(jacobian.T @ jacobian / np.outer(10.0 ** np.arange(d), 10.0 ** np.arange(d)))
    expected = expected / np.outer(10.0 ** np.arange(d), 10.0 ** np.arange(d))
    unit = jacobian / np.linalg.norm(jacobian, axis=0)
    condition = np.linalg.norm(unit) * np.linalg.norm(np.linalg.pinv(unit))
    for found in (covariance(jnp.asarray(jacobian.T), free), from_gram(jnp.asarray(jacobian.T @ jacobian), free)):
        np.testing.assert_allclose(found.matrix, expected, rtol=1e-8, atol=1e-25)
        np.testing.assert_allclose(found.condition, condition, rtol=1e-8)
        assert not np.any(found.unidentified)


def test_covariance_keeps_eight_digits_where_the_gram_matrix_has_none():
    """Columns 1 and x + δ·x² with δ = 1e-7, on x that make them all but parallel: closed form by exact fractions."""
    from fractions import Fraction

    x = [1 + Fraction(i, 2**20) for i in range(8)]
    columns = [[Fraction(1)] * 8, x]
    a, b, c = (sum(p * q for p, q in zip(columns[i], columns[j], strict=True)) for i, j in ((0, 0), (0, 1), (1, 1)))
    determinant = a * c - b * b
    exact = [float(c / determinant), float(a / determinant)]
    rows = jnp.asarray([[float(v) for v in column] for column in columns])
    found = covariance(rows, jnp.zeros(2, bool))
    np.testing.assert_allclose(np.diag(found.matrix), exact, rtol=1e-8)
    assert found.condition > 1e5
    quick = from_gram(rows @ rows.T, jnp.zeros(2, bool))
    assert not np.allclose(np.diag(quick.matrix), exact, rtol=1e-8)


def test_fixed_parameters_leave_the_others_conditional():
    jacobian = np.random.default_rng(3).standard_normal((20, 4))
    fixed = jnp.array([False, True, False, False])
    rest = jacobian[:, [0, 2, 3]]
    expected = np.linalg.inv(rest.T @ rest)
    for found in (covariance(jnp.asarray(jacobian.T), fixed), from_gram(jnp.asarray(jacobian.T @ jacobian), fixed)):
        matrix = np.asarray(found.matrix)
        np.testing.assert_allclose(matrix[np.ix_([0, 2, 3], [0, 2, 3])], expected, rtol=1e-10)
        assert np.all(np.isnan(matrix[1]))
        unit = rest / np.linalg.norm(rest, axis=0)
        np.testing.assert_allclose(found.condition, np.linalg.norm(unit) * np.linalg.norm(np.linalg.pinv(unit)))


@pytest.mark.parametrize("fixed_too", [False, True])
def test_a_direction_without_data_names_its_parameters(fixed_too):
    rng = np.random.default_rng(4)
    a, b, c = rng.standard_normal((3, 30))
    jacobian = np.stack([a, b, 2 * a - b, c, np.zeros(30)], axis=1)
    fixed = jnp.array([False, False, False, False, fixed_too])
    found = covariance(jnp.asarray(jacobian.T), fixed)
    np.testing.assert_array_equal(found.unidentified, [True, True, True, False, True])  # at a bound or not
    assert int(found.rank) == 3
    assert np.isinf(found.condition)
    # c's error is what remains of c outside of the plane of a and b
    plane = np.stack([a, b], axis=1)
    left = c - plane @ np.linalg.lstsq(plane, c, rcond=None)[0]
    np.testing.assert_allclose(found.matrix[3, 3], 1 / (left @ left), rtol=1e-10)
    assert np.isnan(found.matrix[0, 0])
    assert np.isinf(from_gram(jnp.asarray(jacobian.T @ jacobian), fixed).condition) or (
        from_gram(jnp.asarray(jacobian.T @ jacobian), fixed).condition > 1e6
    )


def test_a_jacobian_that_is_not_a_number_has_no_covariance():
    found = covariance(jnp.array([[1.0, jnp.nan], [0.0, 1.0]]), jnp.zeros(2, bool))
    assert np.all(np.isnan(found.matrix))
    assert np.isnan(found.condition)
    np.testing.assert_array_equal(found.unidentified, [True, False])  # it says whose derivative is not a number
