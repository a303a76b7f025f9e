"""The noise of synthetic data: published SplitMix64 outputs, and rows that are independent standard normals."""

from __future__ import annotations

import numpy as np
from scipy import stats

from campaign.problem.reference.noise import splitmix64, standard_normals


def test_splitmix64_gives_its_published_outputs():
    """Seed 1234567, first five outputs of the reference implementation."""
    gamma = 0x9E3779B97F4A7C15
    states = np.array([(1234567 + k * gamma) % 2**64 for k in range(1, 6)], np.uint64)
    assert splitmix64(states).tolist() == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]


def test_a_row_depends_on_its_seed_alone():
    seeds = np.arange(1000)
    rows = standard_normals(seeds, 9)
    np.testing.assert_array_equal(standard_normals(np.array([700, 3]), 9), rows[[700, 3]])
    assert len(np.unique(rows)) == rows.size


def test_rows_are_independent_standard_normals():
    rows = standard_normals(np.arange(20_000), 16)
    assert stats.kstest(rows.ravel(), "norm").pvalue > 1e-3
    bound = 5 / np.sqrt(len(rows))  # 5 σ of a correlation coefficient
    assert np.max(np.abs(np.corrcoef(rows.T) - np.eye(16))) < bound
    np.testing.assert_allclose(np.mean(rows**4), 3.0, atol=5 * np.sqrt(96 / rows.size))
    neighbours = np.mean(rows[1:] * rows[:-1], axis=0)
    assert np.max(np.abs(neighbours)) < bound
