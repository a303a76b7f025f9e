"""Positions in the triangle against NumPy's, and where they no longer fit into 32 bits."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from campaign_xpcs.physics import pairs


@pytest.mark.parametrize("n", [2, 3, 7, 100])
def test_the_order_is_that_of_triu_indices(n):
    i, j = pairs.frames_of(jnp.arange(pairs.n_pairs(n)), n)
    expected = np.triu_indices(n, 1)
    assert np.array_equal(i, expected[0])
    assert np.array_equal(j, expected[1])


def test_positions_beyond_int32():
    """N = 200,000 frames have 2e10 pairs: the first and the last of any row, and their neighbours, come out right."""
    n = 200_000
    rows = np.array([0, 1, 77_777, 150_000, n - 3, n - 2], np.int64)
    starts = np.array([r * (2 * n - r - 1) // 2 for r in rows.tolist()], np.int64)
    i, j = pairs.frames_of(jnp.asarray(starts), n)
    assert np.array_equal(i, rows)
    assert np.array_equal(j, rows + 1)
    i, j = pairs.frames_of(jnp.asarray(starts[1:] - 1), n)
    assert np.array_equal(i, rows[1:] - 1)
    assert np.array_equal(j, np.full(5, n - 1))
    assert int(starts[-1]) > 2**31


def test_a_triangle_becomes_a_map_again():
    half = np.random.default_rng(1).standard_normal((2, 5, 5))
    maps = half + np.swapaxes(half, 1, 2)
    again = pairs.full(pairs.upper(maps), 5)
    off = ~np.eye(5, dtype=bool)
    assert np.array_equal(again[:, off], maps[:, off])
    assert np.isnan(again[:, ~off]).all()
