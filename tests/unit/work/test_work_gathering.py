"""Whether a program reads other runs, and what a run is told that reads some and has none."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from campaign.errors import Damage, InvalidValue
from campaign.reduce.reducer import reduce
from campaign.registry import PROBLEMS, load
from campaign.store.members import members_file
from campaign.work.gathering import gathered, reader
from planting import Planting, plant, publish

FIT = Planting(n_runs=6)
COMBINE = dataclasses.replace(load(PROBLEMS, "combine"), gather=("loss", "theta.k"))


@pytest.fixture
def layout(tmp_path):
    layout = plant(tmp_path, FIT)
    publish(layout, FIT)
    reduce(layout)
    return layout


def members(*runs):
    return b"".join(bytes.fromhex(FIT.run_id(i)) for i in runs)


def test_only_a_problem_that_gathers_in_a_stage_of_groups_has_a_reader(layout):
    where = {"gather": {"stage": "fit", "file": "inputs/x/members.parquet"}}
    assert reader(layout, where, load(PROBLEMS, "decay")) is None
    assert reader(layout, {}, COMBINE) is None
    assert reader(layout, {"gather": None}, COMBINE) is None
    assert reader(layout, where, COMBINE) is not None


@pytest.mark.parametrize("is_on_disk", [True, False])
def test_the_runs_behind_a_key_in_their_order(layout, is_on_disk):
    name, content = members_file({"one": members(4, 1), "two": members(2)})
    if is_on_disk:
        path = layout.root / name
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
    read = reader(layout, {"gather": {"stage": "fit", "file": name}}, COMBINE, None if is_on_disk else content)
    assert read is not None
    for _ in range(2):  # also when another key came between
        np.testing.assert_array_equal(gathered(COMBINE, read, "one")["loss"], [4.0, 1.0])
        np.testing.assert_array_equal(gathered(COMBINE, read, "two")["theta.k"], [1.0])
    with pytest.raises(Damage, match="does not hold `three`"):
        gathered(COMBINE, read, "three")


def test_a_run_outside_of_a_group_is_told_what_it_needs(layout):
    for read, key in ((None, "one"), (lambda key: {}, None), (None, None)):
        with pytest.raises(InvalidValue, match="the problem `combine` reads runs of an earlier stage") as caught:
            gathered(COMBINE, read, key)
        assert caught.value.hint == 'run it in a campaign, with "pick": "group"'
