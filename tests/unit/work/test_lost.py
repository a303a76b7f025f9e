"""Runs that are given up are published as lost, once."""

from __future__ import annotations

import numpy as np
import pytest

from campaign.errors import Damage
from campaign.store import checkpoints
from campaign.store.events import EventLog, read_events
from campaign.store.layout import BlockTask
from campaign.store.records import read_json
from campaign.store.summaries import read_block
from campaign.work.lost import publish_lost
from planting import Planting, identify, plant, publish

FIT = Planting(n_runs=6, block_size=4, axes={"start.k": {"type": "float", "varying": True}})
TASK = BlockTask("fit", 0, 1)
WHY = 'its worker died: "killed" (signal 9)'


@pytest.mark.parametrize("mode", ["packed", "directories"])
def test_each_run_of_the_block_is_lost_with_the_last_reason(tmp_path, mode):
    layout = plant(tmp_path, FIT)
    identify(layout, mode)
    checkpoints.save(layout, "fit", 0, 1, [np.ones(1)], 3)
    with EventLog(layout) as events:
        receipt = publish_lost(layout, TASK, WHY, events)
    assert (receipt.state, receipt.n_ok, receipt.n_failed) == ("published", 0, 2)
    records = read_block(layout, "fit", 0, 1)
    assert [record["run_id"] for record in records] == [FIT.run_id(4), FIT.run_id(5)]
    assert {(r["status"], r["outcome"], r["message"], r["host"], r["runtime_s"]) for r in records} == {
        ("failed", "lost", WHY, None, 0.0)
    }
    assert [record["row"] for record in records] == [4, 5]
    assert checkpoints.load(layout, "fit", 0, 1) is None
    assert layout.runs.exists() == (mode == "directories")
    if mode == "directories":
        assert read_json(layout.meta(FIT.run_id(5)))["axes"]["start.k"] == 1.25
    (event,) = [event for event in read_events(layout) if event["event"] == "block_published"]
    assert (event["n_failed"], event["outcomes"], event["block"]) == (2, {"lost": 2}, 1)
    assert [(failure["n"], failure["run_id"]) for failure in event["failures"]] == [(2, FIT.run_id(4))]


def test_what_a_worker_published_that_was_thought_dead_stays(tmp_path):
    layout = plant(tmp_path, FIT)
    publish(layout, FIT, 1)
    before = layout.summaries("fit", 0, 1).read_bytes()
    with EventLog(layout) as events:
        assert publish_lost(layout, TASK, WHY, events).state == "already"
    assert layout.summaries("fit", 0, 1).read_bytes() == before
    assert read_events(layout) == []


def test_a_block_that_the_plan_lacks_cannot_be_lost(tmp_path):
    layout = plant(tmp_path, FIT)
    with EventLog(layout) as events, pytest.raises(Damage, match="plan fit/0 has no block 9"):
        publish_lost(layout, BlockTask("fit", 0, 9), WHY, events)
