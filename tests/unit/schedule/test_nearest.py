"""The nearest run by keys: against all distances."""

from __future__ import annotations

import numpy as np
import pytest

from campaign.manifest.columns import Column
from campaign.manifest.model import Stage, Start
from campaign.manifest.nodes import ONE_POINT
from campaign.schedule.nearest import nearest


def stage(**scales: float) -> Stage:
    start = Start(values={}, source="fit", pick="nearest", by=tuple(scales), scales=tuple(scales.values()))
    return Stage(name="later", place="", problem=None, engine={}, start=start, scale={}, node=ONE_POINT)


def columns(values: np.ndarray) -> dict[str, Column]:
    return {name: Column("float", values[:, k]) for k, name in enumerate("xyz"[: values.shape[1]])}


def by_all_distances(own, theirs, scales, ok, loss, run_id):
    """For each point by brute force: distance (to nine digits), then loss, then run id."""
    squares = (((own[:, None] - theirs[None]) / scales) ** 2).sum(axis=2)
    found = []
    for row in np.sqrt(squares):
        tied = np.flatnonzero(ok & (row <= row[ok].min() * (1 + 1e-9)))
        found.append(min(tied, key=lambda i: (loss[i], run_id[i])))
    return np.array(found)


@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("kind", ["random", "grid"])  # on a grid, many sites coincide and many distances are equal
def test_against_all_distances(k: int, kind: str) -> None:
    rng = np.random.default_rng(k)
    m, n = 400, 300
    if kind == "random":
        theirs, own = rng.normal(size=(m, k)), rng.normal(size=(n, k))
    else:
        theirs, own = rng.integers(0, 4, (m, k)).astype(float), rng.integers(0, 8, (n, k)) / 2
    scales = np.array([1.0, 0.25, 8.0][:k])
    ok, loss = rng.random(m) < 0.8, rng.integers(0, 5, m).astype(float)
    run_id = np.array([f"{i:08x}" for i in rng.permutation(m)])
    asked = stage(**dict(zip("xyz", scales.tolist(), strict=False)))
    found = nearest(asked, columns(theirs), columns(own), ok, loss, run_id)
    np.testing.assert_array_equal(found, by_all_distances(own, theirs, scales, ok, loss, run_id))


def test_a_key_that_is_not_set_is_near_to_nothing() -> None:
    theirs = {"x": Column("int", np.array([1, 2, 3]), present=np.array([True, True, False]))}
    own = {"x": Column("float", np.array([2.9, 0.0, 1.1]), present=np.array([True, False, True]))}
    found = nearest(stage(x=1.0), theirs, own, np.ones(3, bool), np.zeros(3), np.array(["a", "b", "c"]))
    assert found.tolist() == [1, -1, 0]


def test_without_ok_runs_nothing_is_near() -> None:
    one = columns(np.zeros((2, 1)))
    assert nearest(stage(x=1.0), one, one, np.zeros(2, bool), np.zeros(2), np.array(["a", "b"])).tolist() == [-1, -1]


def test_numbers_whose_squares_overflow() -> None:
    theirs, own = columns(np.array([[-1e200], [3e200], [1.7e308]])), columns(np.array([[2e200], [-1.7e308], [0.0]]))
    found = nearest(stage(x=1.0), theirs, own, np.ones(3, bool), np.zeros(3), np.array(["a", "b", "c"]))
    assert found.tolist() == [1, 0, 0]
