"""Distinct problems are built once; one that fails fails the runs that asked for it; structures are told apart."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from campaign.registry import ENGINES, PROBLEMS, load
from campaign.work.building import build_block
from campaign.work.recipe import Recipe

IDS = [f"{i:032x}" for i in range(4)]
BUILT: list[float] = []


def counted(options):
    from campaign.problem.reference.decay import build

    BUILT.append(options.sigma)
    if options.sigma > 1.0:
        raise RuntimeError("too noisy")
    return build(options)


def recipe(**more) -> Recipe:
    known = {
        "problem": dataclasses.replace(load(PROBLEMS, "decay"), build=counted, build_many=None),
        "engine": load(ENGINES, "trf"),
        "problem_options": {"n": 5},
        "engine_options": {},
        "start": {},
        "scale": {},
        "free": None,
        "seed": 0,
        "capacity": 4,
    }
    BUILT.clear()
    return Recipe(**{**known, **more})


def test_each_combination_is_built_once():
    (group,) = build_block(recipe(), {"problem.sigma": [0.1, 0.2, 0.1, 0.2]}, IDS).groups
    assert BUILT == [0.1, 0.2]
    np.testing.assert_array_equal(group.batch.work.target.problem.sigma, [0.1, 0.2, 0.1, 0.2])


def test_what_all_runs_share_is_built_once_a_program():
    own = recipe()
    for _ in range(2):
        (group,) = build_block(own, {"start.rate": [1.0, 2.0, 3.0, 4.0]}, IDS).groups
    assert len(BUILT) == 1
    assert not group.batch.is_batched.target.problem.data


def test_a_failure_is_that_of_the_runs_that_have_it():
    built = build_block(recipe(), {"problem.sigma": [0.1, 2.0, 0.2, 2.0]}, IDS)
    assert built.failures.keys() == {1, 3}
    assert "RuntimeError: too noisy (test_variants.py:" in built.failures[3].message
    (group,) = built.groups
    assert group.rows.tolist() == [0, 2]
    np.testing.assert_array_equal(group.batch.work.target.problem.sigma, [0.1, 0.2, 0.1, 0.1])  # padded with the first
    with pytest.raises(RuntimeError, match="too noisy"):
        build_block(recipe(), {"problem.sigma": [0.1, 2.0]}, IDS[:2], strict=True)


def test_runs_of_other_shapes_are_other_groups():
    groups = build_block(recipe(), {"problem.n": [5, 7, 5, 7]}, IDS).groups
    assert [group.rows.tolist() for group in groups] == [[0, 2], [1, 3]]
    assert [group.batch.work.target.problem.data.shape for group in groups] == [(4, 5), (4, 7)]


def test_rows_that_are_blocked_are_not_built():
    built = build_block(recipe(), {"problem.sigma": [0.1, 0.2], "blocked": [None, "its start failed"]}, IDS[:2])
    assert BUILT == [0.1]
    assert {row: told.message for row, told in built.failures.items()} == {1: "its start failed"}


@pytest.mark.parametrize(("every", "chunk_steps"), [(1, 32), (5, 30), (8, 32), (32, 32), (33, 32)])
def test_chunks_of_steps_begin_at_recorded_steps(every, chunk_steps):
    (group,) = build_block(recipe(every=every), {}, IDS).groups
    assert group.batch.work.engine.chunk_steps == chunk_steps


def test_arrays_have_the_precision_that_was_asked_for():
    (group,) = build_block(recipe(precision="float32"), {}, IDS).groups
    assert group.batch.work.target.problem.data.dtype == np.float32
    assert group.batch.work.target.base.dtype == np.float32
