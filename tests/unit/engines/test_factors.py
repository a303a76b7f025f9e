"""Triangles and singular values against NumPy, with and without LAPACK."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from campaign.engines.factors import singular_values, triangle_of
from campaign.engines.linear import UNROLLED

jax.config.update("jax_enable_x64", True)


@pytest.mark.parametrize(("e", "n"), [(1, 5), (4, 30), (UNROLLED + 1, 30), (UNROLLED + 4, 30), (5, 3), (12, 3)])
def test_triangle(e, n):
    matrix = np.random.default_rng(e).standard_normal((n, e))
    factor = np.asarray(jax.jit(triangle_of)(jnp.asarray(matrix.T)))
    assert factor.shape == (e, e)
    np.testing.assert_array_equal(np.tril(factor, -1), 0)
    np.testing.assert_allclose(factor.T @ factor, matrix.T @ matrix, rtol=1e-12, atol=1e-12)


def test_a_triangle_of_columns_that_depend_on_each_other():
    a, b, c, r = np.random.default_rng(2).standard_normal((4, 50))
    matrix = np.stack([a, b, a / 3 - b, c, 7 * a, r], axis=1)
    factor = np.asarray(triangle_of(jnp.asarray(matrix.T)))
    np.testing.assert_allclose(factor.T @ factor, matrix.T @ matrix, rtol=1e-12, atol=1e-12)


def test_a_triangle_keeps_what_the_normal_equations_lose():
    """The smallest singular value of an 8 × 8 Vandermonde matrix, condition 1e9, whose square has no digit of it."""
    x = np.linspace(1, 1.5, 40)
    matrix = x[:, None] ** np.arange(8)[None, :]
    factor = np.asarray(triangle_of(jnp.asarray(matrix.T)))
    expected = np.linalg.svd(matrix, compute_uv=False)
    assert expected[0] / expected[-1] > 1e9
    np.testing.assert_allclose(np.linalg.svd(factor, compute_uv=False), expected, rtol=1e-5)


@pytest.mark.parametrize("d", [1, 2, 5, UNROLLED, UNROLLED + 2])
def test_singular_values(d):
    matrix = np.triu(np.random.default_rng(d).standard_normal((d, d))) * 10.0 ** -np.arange(d)[None, :]
    left, s, right = (np.asarray(v) for v in jax.jit(singular_values)(jnp.asarray(matrix)))
    np.testing.assert_allclose(np.sort(s)[::-1], np.linalg.svd(matrix, compute_uv=False), rtol=1e-9)
    np.testing.assert_allclose((left * s) @ right, matrix, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(right @ right.T, np.eye(d), atol=1e-14)


def test_singular_values_of_a_matrix_without_full_rank():
    matrix = np.outer([1.0, 2.0, 3.0], [1.0, 0.0, -1.0])
    left, s, right = (np.asarray(v) for v in singular_values(jnp.asarray(matrix)))
    np.testing.assert_allclose(np.sort(s), [0, 0, np.sqrt(28)], atol=1e-14)
    np.testing.assert_allclose((left * s) @ right, matrix, atol=1e-14)
