"""When a stage is stopped because too much fails, and how its counts move."""

from __future__ import annotations

import json

import pyarrow.parquet as pq
import pytest

from campaign.drive.stage import Driver, StageState, _check_policy, _has_own_code, _plan_stage, _status_counts
from campaign.errors import UnknownName
from campaign.execute.base import Control, Receipt
from campaign.manifest.load import loads
from campaign.reduce.reducer import reduce
from campaign.store import plan as plans
from campaign.store.events import EventLog, read_events
from campaign.store.layout import BlockTask, Layout
from planting import Planting, failed, plant, publish

MANIFEST = {"schema": "campaign/1", "name": "t", "problem": {"name": "decay", "n": 5}, "engine": {"name": "evaluate"}}


def driver(folder, max_failures=None, **changes):
    limit = {} if max_failures is None else {"max_failures": max_failures}
    manifest = loads(json.dumps(MANIFEST | {"execution": limit} | changes), source="t.json")
    layout = Layout(folder)
    return Driver(layout, manifest, manifest.execution, Control(), EventLog(layout), None, {})


def state(**counts):
    known = {"stage": "main", "n_runs": 1000, "n_done": 0, "n_blocks": 10}
    return StageState(**{**known, **counts})


def reason(found, counts):
    """Why the driver stops; "" where it goes on. It drains exactly where it stops."""
    _check_policy(found, counts)
    assert found.is_stopped == found.control.drain.is_set() == bool(found.reason)
    return found.reason


@pytest.mark.parametrize(
    ("limit", "most"),
    [(0, 0), (1, 1), (7, 7), (0.25, 250), (0.9999, 999), (1.5, 1)],  # of 1000 runs; from 1 on it is a number of runs
)
def test_a_limit_is_the_most_that_may_fail(tmp_path, limit, most):
    assert reason(driver(tmp_path, limit), state(n_failed=most)) == ""
    assert reason(driver(tmp_path, limit), state(n_failed=most + 1)) == (
        f"{most + 1:,} runs of stage `main` failed, more than max_failures {limit}"
    )


def test_a_large_limit_is_said_as_it_was_written(tmp_path):
    assert reason(driver(tmp_path, 1_234_567), state(n_failed=1_234_568)).endswith("more than max_failures 1,234,567")


def test_unlimited_goes_on_whatever_fails(tmp_path):
    assert reason(driver(tmp_path, "unlimited"), state(n_failed=1000, n_done=1000, is_own_code=True)) == ""


@pytest.mark.parametrize(
    ("n_before", "n_done", "n_failed", "is_own", "stops"),
    [
        (0, 200, 101, True, True),
        (0, 200, 100, True, False),  # half is not more than half
        (0, 199, 199, True, False),  # fewer than 200 have ended
        (0, 200, 200, False, False),  # a problem of a package is trusted
        (300, 499, 199, True, False),  # what an earlier driver did does not count
        (300, 500, 101, True, True),
    ],
)
def test_without_a_limit_a_problem_in_a_file_stops_where_most_of_many_fail(
    tmp_path, n_before, n_done, n_failed, is_own, stops
):
    counts = state(n_done=n_before, is_own_code=is_own)
    counts.n_done, counts.n_failed = n_done, n_failed
    said = reason(driver(tmp_path), counts)
    assert bool(said) == stops
    if stops:
        assert said.startswith(f"{n_failed} of 200 runs of stage `main` failed: more than half of at least 200")
        assert '"max_failures": "unlimited"' in said


def test_the_first_reason_stays(tmp_path):
    found = driver(tmp_path, 0)
    assert reason(found, state(n_failed=1)).startswith("1 runs")
    assert reason(found, state(n_failed=2)).startswith("1 runs")


def test_only_what_is_on_disk_counts_as_done():
    sizes = {BlockTask("main", 0, k): 10 * (k + 1) for k in range(4)}
    counts = state(n_done=5)
    for task, how in zip(sizes, ("published", "already", "interrupted", "lost")):
        counts.count(Receipt(task=task, state=how, n_failed=3), sizes)
    assert (counts.n_done, counts.n_blocks_done, counts.n_failed) == (5 + 10 + 20, 2, 6)
    assert counts.n_done_before == 5


def test_runs_that_begin_again_are_neither_done_nor_failed():
    counts = state(n_done=100, n_failed=4, n_blocks=10)
    counts.begin_again(n_runs=7, n_failed=4, n_blocks=2)
    assert (counts.n_done, counts.n_failed, counts.n_blocks) == (93, 0, 12)
    counts.begin_again(n_runs=3, n_failed=3, n_blocks=1)  # they had failed under an earlier driver
    assert counts.n_failed == 0


def test_whose_code_a_program_runs():
    assert not _has_own_code({"module": None, "problem": {"name": "decay"}})
    assert _has_own_code({"module": {"file": "inputs/x/line.py"}, "problem": {"name": "line.py:line"}})
    assert _has_own_code({"problem": {"name": "program"}})  # a program of the user's
    with pytest.raises(UnknownName, match="dekay"):
        _has_own_code({"problem": {"name": "dekay"}})


def test_ok_and_failed_runs_of_one_stage(tmp_path):
    one, other = Planting(stage="one", n_runs=6), Planting(stage="other", n_runs=9)
    layout = plant(tmp_path, one, other)
    publish(layout, one, 0, changes={1: failed(), 2: failed()})  # runs 0 … 3; 4 and 5 are pending
    publish(layout, other)
    reduce(layout)
    assert pq.read_table(layout.table).num_rows == 15
    assert _status_counts(layout, "one") == (2, 2)
    assert _status_counts(layout, "other") == (9, 0)


def test_a_part_is_written_only_where_runs_come_or_go(tmp_path):
    def expand(*rates):
        return {"expand": {"grid": {"start.rate": list(rates)}}}

    def submitted(*rates):
        found = driver(tmp_path, **expand(*rates))
        header = _plan_stage(found, found.manifest.stages[0])
        return [header[name] for name in ("part", "n_runs", "n_new", "n_removed")]

    assert submitted(1.0, 2.0) == [0, 2, 2, 0]
    assert submitted(1.0, 2.0) == [0, 2, 0, 0]  # part 0 had two new runs; this submission has none
    assert submitted(1.0) == [1, 1, 0, 1]  # one less is a part as well
    assert plans.parts(Layout(tmp_path), "main") == (0, 1)
    said = [event for event in read_events(Layout(tmp_path)) if event["event"] == "submitted"]
    assert [event["stages"]["main"]["part"] for event in said] == [0, 1]
