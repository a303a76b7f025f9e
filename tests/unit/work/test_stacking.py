"""Runs of one structure become arrays: their starts, scales, keys, precision, and lanes of padding."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from campaign.errors import InvalidValue
from campaign.registry import ENGINES, PROBLEMS, load
from campaign.space import Parameter, ThetaSpace
from campaign.work.building import build_block
from campaign.work.recipe import Recipe
from campaign.work.stacking import _arrays, _own_bytes, _scales, _values

SPACE = ThetaSpace(
    (
        Parameter(name="a", initial=0.0, scale=2.0),
        Parameter(name="b", initial=5.0, free=False),
        Parameter(name="c", initial=-3.0),
    )
)
IDS = ["00000001000000020000000300000004", "ffffffff0000000000000000fffffffe"]


def groups(n=2, strict=True, **changes):
    known = {"problem": load(PROBLEMS, "decay"), "engine": load(ENGINES, "trf"), "problem_options": {"n": 5}}
    known |= {"engine_options": {}, "start": {}, "scale": {}, "free": None, "seed": 3, "capacity": 4}
    return build_block(Recipe(**{**known, **changes}), {}, IDS[:n], strict=strict).groups


def test_scales_are_those_of_the_free_parameters():
    assert _scales(SPACE, {}).tolist() == [2.0, 0.03]  # given; 1 % of 3
    assert _scales(SPACE, {"c": 7.0, "b": 1.0}).tolist() == [2.0, 7.0]


@pytest.mark.parametrize("value", [0.0, -1.0, np.inf, np.nan])
def test_a_scale_that_is_no_size_is_refused_with_its_name(value):
    with pytest.raises(InvalidValue) as caught:
        _scales(SPACE, {"a": 1.0, "c": value})
    assert caught.value.message == f"scales are not positive numbers: {{'c': {value}}}"


def test_columns_come_before_the_base_and_lanes_of_padding_repeat_a_row():
    lanes = np.array([1, 2, 1, 1])
    columns = {"start.b": [None, 20.0, np.nan], "start.c": np.array([1.0, 2.0, 3.0]), "scale.a": [9.0] * 3}
    one = [np.array([0.0, 5.0, -3.0])]
    found = _values(one, ("a", "b", "c"), "start.", columns, lanes)
    np.testing.assert_array_equal(found, [[0, 20, 2], [0, 5, 3], [0, 20, 2], [0, 20, 2]])
    each = [np.array([float(i), 0.0, 0.0]) for i in range(4)]
    assert _values(each, ("a", "b", "c"), "start.", columns, lanes)[:, 0].tolist() == [0, 1, 2, 3]


def test_numbers_with_half_the_digits_are_refused_where_all_are_wanted():
    tree = {"y": np.ones(2, np.float32), "k": np.ones(2, np.int8)}
    with pytest.raises(InvalidValue) as caught:
        _arrays((tree,), "float64")
    assert caught.value.message == "`['y']` of the problem is float32: half of its digits are lost"
    assert caught.value.hint == 'make it float64 where it is made, or ask for `"precision": "float32"`'
    with pytest.raises(InvalidValue, match="is complex64: half"):
        _arrays(({"z": np.ones(1, np.complex64)},), "float64")
    (found,) = _arrays((tree,), "float32")
    assert (found["y"].dtype, found["k"].dtype) == (np.float32, np.int8)
    (found,) = _arrays(({"y": np.ones(1), "z": np.ones(1, complex), "n": 3},), "float32")
    assert (found["y"].dtype, found["z"].dtype, found["n"].dtype.kind) == (np.float32, np.complex64, "i")
    assert _arrays(tree["k"], "float64") is tree["k"]  # what is right already is not copied


def test_only_what_runs_have_of_their_own_is_counted():
    tree, is_batched = {"own": np.ones((2, 3)), "shared": np.ones(1000)}, {"own": True, "shared": False}
    assert _own_bytes(tree, is_batched) == 48


def test_keys_are_the_four_words_of_a_run_id_and_padding_repeats_the_first():
    (group,) = groups()
    first = [1, 2, 3, 0]  # trf has a number of steps: the last word would be its own
    assert load(ENGINES, "trf").steps == "max_steps"
    assert group.batch.words.tolist() == [first, [2**32 - 1, 0, 0, 0], first, first]
    assert group.batch.words.dtype == np.uint32
    (group,) = groups(engine=load(ENGINES, "evaluate"))
    assert group.batch.words[0].tolist() == [1, 2, 3, 4]


def test_a_run_alone_in_its_block_has_a_lane_beside_it():
    (group,) = groups(1, capacity=1)
    assert group.rows.tolist() == [0]
    assert len(group.batch.words) == 2
    assert group.batch.work.target.base.shape[0] == 2


def test_a_large_run_alone_has_none(monkeypatch):
    from campaign.work import stacking

    own = dataclasses.replace(load(PROBLEMS, "decay"))
    for most, lanes in ((47, 1), (48, 2)):  # five data and one sigma are 48 bytes
        monkeypatch.setattr(stacking, "_MOST_TWICE", most)
        columns = {"problem.sigma": [0.1]}
        recipe = Recipe(
            problem=own, engine=load(ENGINES, "trf"), problem_options={"n": 5}, engine_options={}, start={}, scale={},
            free=None, seed=0, capacity=1,
        )  # fmt: skip
        (group,) = build_block(recipe, columns, IDS[:1], strict=True).groups
        assert len(group.batch.words) == lanes
