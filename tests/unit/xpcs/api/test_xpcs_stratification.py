"""Chunks that hold every angle: the document's tree and example, exact partitions, memory."""

import tracemalloc

import numpy as np
import pytest

from campaign.science import InvalidValue
from campaign_xpcs.api.stratification import (
    count_angles,
    create_angle_stratified_data,
    create_angle_stratified_indices,
    should_use_stratification,
)

COUNTS = {0.0: 600_000, 30.0: 400_000, 90.0: 200_000}


@pytest.mark.parametrize(
    ("n", "angles", "scaling", "imbalance", "uses", "why"),
    [
        (99_999, 3, True, 1.0, False, "fewer than"),
        (100_000, 3, True, 1.0, True, "every angle"),
        (100_000, 3, False, 1.0, False, "no scaling"),
        (100_000, 1, True, 1.0, False, "one angle"),
        (100_000, 3, True, 5.0, True, "every angle"),
        (100_000, 3, True, 5.0001, False, "one after another"),
    ],
)
def test_the_tree_of_the_document(n, angles, scaling, imbalance, uses, why):
    found, reason = should_use_stratification(n, angles, scaling, imbalance)
    assert found is uses
    assert why in reason


def test_the_example_of_the_document():
    phi = np.repeat(list(COUNTS), list(COUNTS.values()))
    indices = create_angle_stratified_indices(phi, 100_000)
    assert len(indices) == 12
    np.testing.assert_array_equal(indices.sizes[:, 0], 50_000)
    assert set(indices.sizes[:, 1]) == {33_333, 33_334}
    assert set(indices.sizes[:, 2]) == {16_666, 16_667}
    np.testing.assert_array_equal(indices.sizes.sum(axis=0), list(COUNTS.values()))
    assert count_angles(phi).imbalance_ratio == 3.0


@pytest.mark.parametrize("order", ["one angle after another", "turning", "shuffled"])
@pytest.mark.parametrize("target", [97, 1000, 10**6])
def test_chunks_partition_the_data(order, target):
    phi = np.repeat([-5.0, 10.0, 80.0], [700, 333, 201])
    rng = np.random.default_rng(3)
    if order == "turning":
        phi = np.tile([-5.0, 10.0, 80.0], 411)
    elif order == "shuffled":
        phi = rng.permutation(phi)
    indices = create_angle_stratified_indices(phi, target)
    chunks = list(indices)
    assert len(chunks) == -(-len(phi) // target)
    np.testing.assert_array_equal(np.sort(np.concatenate(chunks)), np.arange(len(phi)))
    counts = count_angles(phi)
    for chunk, sizes in zip(chunks, indices.sizes, strict=True):
        found = np.array([np.sum(phi[chunk] == angle) for angle in counts.angles])
        np.testing.assert_array_equal(found, sizes)
        assert (np.abs(found - counts.counts / len(chunks)) < 1).all()
        assert chunk.dtype == np.int64


def test_a_sum_over_chunks_is_the_sum_over_the_data():
    rng = np.random.default_rng(4)
    phi = rng.choice([0.0, 45.0, 90.0], 5000)
    r = rng.normal(size=5000)
    parts = [np.sum(r[chunk] ** 2) for chunk in create_angle_stratified_indices(phi, 600)]
    assert np.sum(parts) == pytest.approx(np.sum(r**2), rel=1e-12)


def test_the_copy_is_what_the_indices_say():
    rng = np.random.default_rng(5)
    phi, t1, t2, g2 = rng.choice([0.0, 45.0], 999), rng.normal(size=999), rng.normal(size=999), rng.normal(size=999)
    copied = create_angle_stratified_data(phi, t1, t2, g2, 100)
    order = np.concatenate(list(create_angle_stratified_indices(phi, 100)))
    for copy, array in zip(copied[:4], (phi, t1, t2, g2), strict=True):
        np.testing.assert_array_equal(copy, array[order])
    assert sum(copied[4]) == 999


@pytest.mark.parametrize("order", ["one angle after another", "shuffled"])
def test_indices_take_at_most_one_per_cent_of_the_data(order):
    phi = np.repeat(list(COUNTS), list(COUNTS.values()))
    if order == "shuffled":
        np.random.default_rng(6).shuffle(phi)
    data = 5 * phi.nbytes  # phi, t1, t2, c2, sigma
    tracemalloc.start()
    try:
        indices = create_angle_stratified_indices(phi, 1000)
        chunk = indices[7]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(chunk) == indices.sizes[7].sum()
    assert peak <= 0.01 * data


def test_an_index_goes_beyond_int32():
    """2³¹ + 3 points of one angle, which are a view of one number: nothing is stored a point."""
    n = 2**31 + 3
    counts = count_angles(np.zeros(10))
    from campaign_xpcs.api.stratification import AngleCounts, AngleStratifiedIndices

    indices = AngleStratifiedIndices(np.zeros(4), counts, 4)
    indices._runs = np.array([[0, n, 0]])
    indices.counts = AngleCounts(angles=counts.angles, counts=np.array([n]))
    indices.n_chunks = 2**27
    assert indices[2][-1] == 2**31 + 2
    assert indices.counts.counts.sum() == n


@pytest.mark.parametrize("phi", [np.array([]), np.array([0.0, np.nan]), np.zeros((2, 2))])
def test_angles_must_be_numbers(phi):
    with pytest.raises(InvalidValue, match="phi"):
        create_angle_stratified_indices(phi)


def test_a_small_angle_limits_the_number_of_chunks():
    indices = create_angle_stratified_indices(np.repeat([0.0, 1.0], [1000, 3]), 10)
    assert len(indices) == 3
    assert (indices.sizes > 0).all()
