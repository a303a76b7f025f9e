"""Where runs start, by their row in the block."""

from __future__ import annotations

import dataclasses

import numpy as np

from campaign.registry import ENGINES, PROBLEMS, load
from campaign.store.layout import BlockTask
from campaign.store.trace_policy import TracePolicy
from campaign.work.building import build_block
from campaign.work.planned_block import PlannedBlock
from campaign.work.recipe import Recipe
from campaign.work.starts import start_of, starts_of

IDS = [f"{i:032x}" for i in range(3)]
COLUMNS = {"run_id": IDS, "attempt": [0] * 3, "start.rate": [0.5, None, 2.5], "problem.n": [5, 7, 5]}


def recipe(**changes):
    known = {
        "problem": dataclasses.replace(load(PROBLEMS, "decay"), build_many=None),
        "engine": load(ENGINES, "trf"),
        "problem_options": {},
    }
    known |= {"engine_options": {}, "start": {"rate": 1.5}, "scale": {}, "free": ("rate",), "seed": 0, "capacity": 4}
    return Recipe(**{**known, **changes})


def test_all_parameters_of_each_run_and_none_of_padding():
    groups = build_block(recipe(), COLUMNS, IDS, strict=True).groups
    assert len(groups) == 2  # of 5 and of 7 data
    found = starts_of(groups)
    assert {row: start["rate"] for row, start in found.items()} == {0: 0.5, 1: 1.5, 2: 2.5}
    assert all(list(start) == ["amplitude", "rate", "offset", "drift"] for start in found.values())


def raising(options):
    raise ValueError("no data")


def test_the_start_of_one_run_and_nothing_where_it_cannot_be_built():
    header = {"problem": {"name": "decay"}, "engine": {"name": "trf"}, "versions": {}}
    block = PlannedBlock(
        task=BlockTask("s", 0, 0), program="p", header=header, recipe=recipe(), run_ids=IDS, columns=COLUMNS,
        first_row=0, seed=0, trace=TracePolicy(),
    )  # fmt: skip
    assert start_of(block, IDS[2])["rate"] == 2.5
    assert np.isclose(start_of(block, IDS[1])["rate"], 1.5)
    broken = dataclasses.replace(load(PROBLEMS, "decay"), build=raising, build_many=None)
    assert start_of(dataclasses.replace(block, recipe=recipe(problem=broken)), IDS[2]) == {}
