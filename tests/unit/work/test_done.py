"""What a block leaves: lines in row order whichever group finished first, and its seconds shared by steps."""

from __future__ import annotations

import numpy as np
import pytest

from campaign.own_code import Told
from campaign.registry import ENGINES, PROBLEMS, load
from campaign.store.layout import BlockTask
from campaign.store.lines import Same
from campaign.store.records import loads
from campaign.store.trace_policy import TracePolicy
from campaign.work.block import Execution
from campaign.work.control import Control
from campaign.work.desk import MemoryDesk
from campaign.work.done import records
from campaign.work.planned_block import PlannedBlock
from campaign.work.recipe import Recipe

IDS = [f"{i:032x}" for i in range(4)]


def execution(**changes) -> Execution:
    recipe = Recipe(
        problem=load(PROBLEMS, "decay"), engine=load(ENGINES, "trf"), problem_options={}, engine_options={}, start={},
        scale={}, free=None, seed=0, capacity=4,
    )  # fmt: skip
    header = {"problem": {"name": "decay"}, "engine": {"name": "trf"}, "versions": {"problem": "1"}}
    block = PlannedBlock(
        task=BlockTask("s", 1, 2), program="p", header=header, recipe=recipe, run_ids=IDS,
        columns={"run_id": IDS, "attempt": np.arange(4)}, first_row=8, seed=0, trace=TracePolicy(),
    )  # fmt: skip
    known = {
        "desk": MemoryDesk(),
        "block": block,
        "control": Control(),
        "started": 0.0,
        "run_ids": lambda: np.array(IDS),
    }
    return Execution(**{**known, **changes})


def columns(outcome, n_steps):
    return {"status": Same("ok"), "outcome": outcome, "message": Same(None), "n_steps": np.array(n_steps)}


def test_lines_are_in_row_order_and_carry_what_the_plan_says():
    own = execution()
    own.found = [
        (np.array([3, 1]), columns(Same("converged"), [30, 10])),
        (np.array([0, 2]), columns(["budget", "stalled"], [0, 20])),
    ]
    done = records(own)
    found = [loads(line) for line in done.lines]
    assert [record["run_id"] for record in found] == IDS
    assert [record["n_steps"] for record in found] == [0, 10, 20, 30]
    assert [record["row"] for record in found] == [8, 9, 10, 11]
    assert [record["attempt"] for record in found] == [0, 1, 2, 3]
    assert [record["outcome"] for record in found] == ["budget", "converged", "stalled", "converged"]
    assert done.outcomes == {"converged": 2, "budget": 1, "stalled": 1}
    assert (done.n_steps, done.failed, done.metas) == (60, [], None)
    assert {(record["stage"], record["part"], record["block"]) for record in found} == {("s", 1, 2)}


def test_the_seconds_of_a_block_are_shared_by_the_steps_and_one_a_run():
    own = execution(seconds=70.0, compile_s=6.0, n_compiles=2)
    own.found = [(np.arange(4), columns(Same("converged"), [0, 10, 20, 30]))]
    done = records(own)
    found = [loads(line) for line in done.lines]
    assert [record["runtime_s"] for record in found] == [1.0, 11.0, 21.0, 31.0]  # 64 s for 60 steps and 4 runs
    assert [record["compile_s"] for record in found] == [1.5] * 4
    assert (done.compile_s, done.n_compiles) == (6.0, 2)
    own.seconds = 5.0  # less than its compilation, which another thread had begun
    assert [loads(line)["runtime_s"] for line in records(own).lines] == [0.0] * 4


def test_runs_that_failed_are_given_back_as_records():
    own = execution()
    own.found = [(np.array([1, 2]), columns(Same("converged"), [5, 6]))]
    own.fail([0], [Told('it said "status":"failed"', "")])
    own.fail(np.array([3]), [Told("boom", "line 1")], "timeout")
    own.fail([], [])
    done = records(own)
    assert [record["run_id"] for record in done.failed] == [IDS[0], IDS[3]]
    assert [record["outcome"] for record in done.failed] == ["error", "timeout"]
    assert done.outcomes == {"converged": 2, "error": 1, "timeout": 1}
    assert "failure" not in done.failed[0]
    assert done.failed[1]["failure"] == {"message": "boom", "traceback": "line 1"}
    assert done.failed[0]["loss"] is None


def test_a_run_that_ended_well_is_not_failed_whatever_its_message_says():
    own = execution()
    said = {**columns(["budget"] * 4, [1] * 4), "message": ['x "status":"failed" y'] * 4}
    own.found = [(np.arange(4), said)]
    assert records(own).failed == []


def test_a_campaign_with_folders_gets_a_meta_for_each_run():
    own = execution(has_folders=True, starts={2: {"rate": 3.5}})
    own.found = [(np.arange(4), columns(Same("converged"), [1] * 4))]
    metas = records(own).metas
    assert metas is not None
    assert [meta["run_id"] for meta in metas] == IDS
    assert [meta["start"] for meta in metas] == [{}, {}, {"rate": 3.5}, {}]


def test_an_output_is_flushed_before_the_records_are_given():
    class Broken:
        def flush(self):
            raise OSError("the disk is full")

    own = execution(output=Broken())
    own.found = [(np.arange(4), columns(Same("converged"), [1] * 4))]
    with pytest.raises(OSError, match="the disk is full"):
        records(own)
