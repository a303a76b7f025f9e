"""Small problems in a box against scipy, inverses of Gram matrices against numpy."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import lsq_linear

from campaign.engines.box import best_in_box, inverse_of

jax.config.update("jax_enable_x64", True)
K = 60


@pytest.mark.parametrize("m", [1, 2, 3, 6])
def test_the_best_in_a_box_is_that_of_scipy(m):
    rng = np.random.default_rng(m)
    design = rng.standard_normal((K, m + 4, m))
    if m > 1:
        design[: K // 4, :, -1] = design[: K // 4, :, 0] + 0.01 * design[: K // 4, :, -1]
    design *= rng.choice([1e-3, 1.0, 1e3], (K, 1, m))
    y = rng.standard_normal((K, m + 4))
    size = 1.0 / np.linalg.norm(design, axis=1)
    lower = -np.abs(rng.standard_normal((K, m))) * size
    upper = lower + np.abs(rng.standard_normal((K, m))) * size
    lower[::3, 0], upper[1::3, -1] = -np.inf, np.inf
    start = np.where(np.isfinite(lower), lower, upper)
    start = np.where(rng.random((K, m)) < 0.5, start, np.clip(0.0, lower, upper))
    hessian = np.einsum("kni,knj->kij", design, design)
    gradient = np.einsum("kni,kn->ki", design, np.einsum("kni,ki->kn", design, start) - y)
    found = np.asarray(jax.jit(best_in_box)(*map(jnp.asarray, (hessian, gradient, start)), (lower, upper)))
    assert np.all((found >= lower) & (found <= upper))
    for k in range(K):
        expected = lsq_linear(design[k], y[k], (lower[k], upper[k]), method="bvls", tol=1e-15)
        np.testing.assert_allclose(np.sum((design[k] @ found[k] - y[k]) ** 2), 2.0 * expected.cost, rtol=1e-9)
        np.testing.assert_allclose((found[k] - expected.x) / size[k], 0.0, atol=1e-5)


def test_without_bounds_it_is_the_solution():
    rng = np.random.default_rng(0)
    design, y = rng.standard_normal((5, 9, 3)), rng.standard_normal((5, 9))
    hessian = np.einsum("kni,knj->kij", design, design)
    gradient = -np.einsum("kni,kn->ki", design, y)
    found = best_in_box(jnp.asarray(hessian), jnp.asarray(gradient), jnp.zeros((5, 3)), None)
    expected = [np.linalg.lstsq(a, b)[0] for a, b in zip(design, y, strict=True)]
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_columns_that_depend_on_others_or_are_not_kept_are_dropped():
    rng = np.random.default_rng(1)
    design = rng.standard_normal((20, 4)) * np.array([1.0, 1e5, 1e-5, 1.0])
    design[:, 3] = design[:, 0] + 1e-5 * design[:, 1]
    matrix = jnp.asarray(design.T @ design)
    every = jnp.ones(4, bool)
    found = inverse_of(matrix, every)
    own = design[:, :3]
    np.testing.assert_allclose(found.matrix[:3, :3], np.linalg.inv(own.T @ own), rtol=1e-9)
    np.testing.assert_array_equal(found.matrix[3], 0.0)
    assert found.pivot < 1e-12
    two = inverse_of(matrix, jnp.asarray([True, False, True, False]))
    own = design[:, [0, 2]]
    np.testing.assert_allclose(np.asarray(two.matrix)[np.ix_([0, 2], [0, 2])], np.linalg.inv(own.T @ own), rtol=1e-9)
    unit = own / np.linalg.norm(own, axis=0)
    np.testing.assert_allclose(two.pivot, np.linalg.det(unit.T @ unit), rtol=1e-9)
    assert np.isnan(inverse_of(matrix * jnp.nan, every).matrix).any()
