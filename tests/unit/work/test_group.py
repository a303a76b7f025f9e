"""Groups of runs are split so that each run keeps its arrays, and lanes that are not runs repeat one that is."""

from __future__ import annotations

import numpy as np
import pytest

from campaign.engines.batch import Batch, Work
from campaign.space import Parameter, ThetaSpace
from campaign.work.group import Group

SPACE = ThetaSpace((Parameter(name="x", initial=0.0),))


def group(n_rows: int, capacity: int) -> Group:
    """Run i of the block has the number 10 i and the key words i; lanes beyond the runs repeat the first."""
    lanes = np.where(np.arange(capacity) < n_rows, np.arange(capacity), 0)
    work = Work({"own": 10.0 * lanes, "shared": np.arange(3)}, None)  # pyright: ignore[reportArgumentType]
    is_batched = Work({"own": True, "shared": False}, None)  # pyright: ignore[reportArgumentType]
    words = np.repeat(lanes[:, None], 4, axis=1).astype(np.uint32)
    return Group(rows=5 + np.arange(n_rows), batch=Batch(work, is_batched, words, 0), space=SPACE, free_names=("x",))


def check(parts: list[Group], n_rows: int) -> None:
    assert np.concatenate([part.rows for part in parts]).tolist() == (5 + np.arange(n_rows)).tolist()
    for part in parts:
        own = part.batch.work.engine["own"]
        assert len(own) == len(part.batch.words)
        np.testing.assert_array_equal(own[: len(part.rows)], 10.0 * (part.rows - 5))
        np.testing.assert_array_equal(part.batch.words[:, 0], own / 10.0)
        np.testing.assert_array_equal(part.batch.work.engine["shared"], np.arange(3))


@pytest.mark.parametrize(("n_rows", "capacity"), [(8, 8), (5, 8), (3, 8), (7, 7), (2, 2), (1, 2)])
def test_halves_have_half_the_lanes(n_rows, capacity):
    parts = list(group(n_rows, capacity).halves())
    check(parts, n_rows)
    assert {len(part.batch.words) for part in parts} == {(capacity + 1) // 2}


@pytest.mark.parametrize(("n_rows", "capacity"), [(8, 8), (5, 8), (3, 4), (2, 4)])
def test_parts_need_no_other_program(n_rows, capacity):
    parts = list(group(n_rows, capacity).parted())
    check(parts, n_rows)
    assert {len(part.batch.words) for part in parts} == {capacity}
    assert len(parts) == 2
