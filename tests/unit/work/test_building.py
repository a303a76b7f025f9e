"""From plan rows to the arrays of a block: what a row does not set keeps its base value."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from campaign.errors import InvalidValue
from campaign.registry import ENGINES, PROBLEMS, ProblemPlugin, load
from campaign.work.building import build_block
from campaign.work.recipe import Recipe

IDS = [f"{i:032x}" for i in range(3)]


def recipe(problem: str = "decay", problem_: ProblemPlugin | None = None, **more: object) -> Recipe:
    known = {
        "problem": problem_ or load(PROBLEMS, problem),
        "engine": load(ENGINES, "trf"),
        "problem_options": {"n": 5} if problem == "decay" else {"parameters": ["rate"]},
        "engine_options": {},
        "start": {"rate": 3.0},
        "scale": {},
        "free": None,
        "seed": 0,
        "capacity": 4,
    }
    return Recipe(**{**known, **more})  # pyright: ignore[reportArgumentType]


def test_a_start_that_is_absent_in_a_row_is_the_base_start():
    columns = {"start.rate": [0.25, None, 0.75], "start.offset": [None, None, -1.0], "scale.rate": [None, 0.5, None]}
    (group,) = build_block(recipe(), columns, IDS).groups
    target = group.batch.work.target
    assert group.space.names == ("amplitude", "rate", "offset", "drift")
    # amplitude, offset and drift start at the problem's 1, 0, 0; rate at the stage's 3; the fourth lane is padding
    np.testing.assert_array_equal(target.base, [[1, 0.25, 0, 0], [1, 3.0, 0, 0], [1, 0.75, -1.0, 0], [1, 0.25, 0, 0]])
    np.testing.assert_array_equal(np.asarray(target.scale)[:, 1], [0.1, 0.5, 0.1, 0.1])


def test_a_problem_that_reads_runs_is_built_once_a_set_of_runs():
    asked: list[str] = []

    def gather(key: str) -> dict[str, np.ndarray]:
        asked.append(key)
        means = np.array([1.0, 2.0]) if key == "a-2" else np.array([5.0, 7.0])
        names, covariance = np.array([["rate"]] * 2), np.array([[[1.0]], [[0.25]]])
        return {"theta.rate": means, "parameter": names, "covariance": covariance}

    columns = {"members": ["a-2", "b-2", "a-2"]}
    (group,) = build_block(recipe("combine", gather=gather, start={}), columns, IDS).groups
    assert asked == ["a-2", "b-2"]
    problem = group.batch.work.target.problem
    # weights 1 and 4: (1 + 8) / 5 and (5 + 28) / 5
    np.testing.assert_allclose(np.asarray(problem.mean)[:3, 0], [1.8, 6.6, 1.8], rtol=1e-14)
    np.testing.assert_allclose(np.asarray(problem.covariance)[:3, 0, 0], [0.2, 0.2, 0.2], rtol=1e-14)


def test_a_problem_that_reads_runs_needs_some():
    with pytest.raises(InvalidValue, match="`combine` reads runs of an earlier stage"):
        build_block(recipe("combine", start={}), {}, IDS, strict=True)


def together(options, columns):
    """`decay` for all runs at once, with its data shifted so that the way it was built can be seen."""
    from campaign.problem.reference.decay import build

    one = build(options)
    data = np.stack([np.asarray(one.data) + 1000.0 * sigma for sigma in columns["sigma"]])
    sigma = np.asarray(columns["sigma"], np.float64)
    return dataclasses.replace(one, data=data, sigma=sigma)


def broken(options, columns):
    raise RuntimeError("no such block")


def test_a_problem_with_build_many_is_built_by_it():
    plugin = dataclasses.replace(load(PROBLEMS, "decay"), build_many=together)
    columns = {"problem.sigma": [0.02, 0.05, 0.1]}
    (group,) = build_block(recipe(problem_options={"n": 5}, problem_=plugin), columns, IDS).groups
    data = np.asarray(group.batch.work.target.problem.data)
    assert data.shape == (4, 5)
    np.testing.assert_array_equal(np.round(data[:3, 0] / 1000.0, 2), [0.02, 0.05, 0.1])


def test_a_build_many_that_fails_is_said_once_and_the_runs_are_built_one_by_one(caplog):
    plugin = dataclasses.replace(load(PROBLEMS, "decay"), build_many=broken)
    own = recipe(problem_options={"n": 5}, problem_=plugin)
    columns = {"problem.sigma": [0.02, 0.05, 0.1]}
    for _ in range(2):
        (group,) = build_block(own, columns, IDS).groups
        assert len(group.rows) == 3
    said = [r.getMessage() for r in caplog.records if r.name == "campaign"]
    assert said == [
        "`build_many` of `decay` failed: RuntimeError: no such block (test_building.py:77 in `broken`). "
        "Its runs are built one by one, which is slower"
    ]
