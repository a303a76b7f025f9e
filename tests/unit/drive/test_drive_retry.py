"""Which runs are planned again, under which kind, and what their programs get more of."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from campaign.drive.retry import _more, kind_of, retry_due, retry_runs, split_lost
from campaign.errors import Damage
from campaign.manifest.load import from_document
from campaign.manifest.retry import RetryRule
from campaign.reduce.reducer import reduce
from campaign.store import plan as plans
from campaign.store.events import EventLog, read_events
from campaign.store.layout import BlockTask
from planting import Planting, failed, plant, publish, write_plan

FIT = Planting(n_runs=10, block_size=4)
LATE = failed(outcome="timeout", message="it took longer than 3 s")
FULL = failed(outcome="error", message="out of memory: 8 GB")
RAISED = failed(outcome="error", message="ValueError: out of memory")
BUDGET = {"outcome": "budget", "message": "the steps were used up"}


@pytest.mark.parametrize(
    ("outcome", "message", "kind"),
    [
        ("budget", None, "nonconverged"),
        ("error", "out of memory: 8 GB", "oom"),
        ("error", "ValueError: out of memory", "error"),  # the model's own words
        ("error", None, "error"),
        ("timeout", "out of memory", "timeout"),
        ("nonfinite", "", "nonfinite"),
        ("stalled", None, "stalled"),
    ],
)
def test_kinds_of_endings(outcome, message, kind):
    assert kind_of(outcome, message) == kind


def stage(**rules):
    document = {"schema": "campaign/1", "name": "t", "stages": [{"name": "fit", "problem": {"name": "decay"}}]}
    document["stages"][0]["engine"] = {"name": "trf", "max_steps": 50}
    one = from_document(document).manifest.stages[0]
    return replace(one, retry={kind: RetryRule(times=times) for kind, times in rules.items()})


@pytest.fixture
def campaign(tmp_path):
    """Ten runs: 1 late, 2 out of memory, 3 raised, 4 without steps left, 5 stalled; 8 and 9 are pending."""
    layout = plant(tmp_path, FIT)
    (name,) = FIT.header(FIT.rows())["programs"]
    entry = FIT.header(FIT.rows())["programs"][name] | {"engine": {"name": "trf", "max_steps": 50}}
    write_plan(layout, FIT, FIT.rows(), programs={name: entry})
    changes = {1: LATE, 2: FULL, 3: RAISED, 4: BUDGET, 5: {"outcome": "stalled"}}
    publish(layout, FIT, 0, 1, changes=changes)
    reduce(layout)
    with EventLog(layout) as events:
        yield layout, events


def planned_again(layout):
    """Part → the numbers of the runs that it plans again, with their attempt."""
    numbers = {FIT.run_id(i): i for i in range(FIT.n_runs)}
    found = {}
    for part in plans.parts(layout, "fit")[1:]:
        rows = plans.read_rows(layout, "fit", part, own=True).to_pylist()
        found[part] = {numbers[row["run_id"]]: row["attempt"] for row in rows}
    return found


def test_each_kind_gets_a_part_in_the_order_of_the_rules(campaign):
    layout, events = campaign
    assert retry_due(layout, stage(oom=1, timeout=1), events) == {"oom": 1, "timeout": 1}
    assert planned_again(layout) == {1: {2: 1}, 2: {1: 1}}
    said = [event for event in read_events(layout) if event["event"] == "retried"]
    assert [(event["kind"], event["n_runs"]) for event in said] == [("oom", 1), ("timeout", 1)]


def test_nothing_is_due_without_rules_or_without_such_endings(campaign):
    layout, events = campaign
    assert retry_due(layout, stage(), events) == {}
    assert retry_due(layout, stage(diverged=5), events) == {}
    assert plans.parts(layout, "fit") == (0,)


@pytest.mark.parametrize(("attempt", "n"), [(0, 1), (1, 1), (2, 0), (3, 0)])
def test_a_rule_of_two_times_allows_the_attempts_0_and_1(tmp_path, attempt, n):
    own = replace(FIT, attempt=attempt)
    layout = plant(tmp_path, own)
    publish(layout, own, changes={1: LATE})
    reduce(layout)
    with EventLog(layout) as events:
        assert retry_due(layout, stage(timeout=2), events) == ({"timeout": n} if n else {})


def test_a_person_may_ask_for_any_of_them(campaign):
    layout, events = campaign
    # all failures, but not what merely used up its steps; the rules of the manifest do not count
    assert retry_runs(layout, stage(), (), (), None, events) == {"error": 1, "oom": 1, "timeout": 1}
    assert planned_again(layout) == {1: {3: 1}, 2: {2: 1}, 3: {1: 1}}
    assert retry_runs(layout, stage(), (), (), None, events) == {}  # they are planned, and have not run


def test_a_person_may_name_runs_and_kinds(campaign):
    layout, events = campaign
    ids = [FIT.run_id(i) for i in (1, 4, 5, 8)]
    assert retry_runs(layout, stage(), ids, ("nonconverged",), None, events) == {"nonconverged": 1}
    assert planned_again(layout) == {1: {4: 1}}
    assert retry_runs(layout, stage(), ids, (), None, events) == {"timeout": 1}


def test_the_factor_of_a_person_comes_before_that_of_the_manifest(campaign):
    layout, events = campaign
    entry = {"timeout_s": 3.0, "engine": {"name": "trf", "max_steps": 50}}
    assert _more("timeout", 4.0, None)(entry) == entry | {"timeout_s": 12.0}
    assert _more("timeout", 4.0, 11.0)(entry) == entry | {"timeout_s": 12.0}
    assert _more("timeout", 4.0, 13.0)(entry) == entry | {"timeout_s": 13.0}  # the manifest was changed meanwhile
    assert _more("timeout", 4.0, None)(entry | {"timeout_s": None}) == entry | {"timeout_s": None}
    assert _more("nonconverged", 1.5, None)(entry)["engine"]["max_steps"] == 75
    assert _more("oom", 1.5, None)(entry | {"block_size": 8}) == entry | {"block_size": 1}
    assert _more("error", 1.5, None)(entry) == entry
    assert retry_runs(layout, stage(oom=1), (), ("oom",), 3.0, events) == {"oom": 1}
    (program,) = plans.read_header(layout, "fit", 1)["programs"].values()
    assert program["block_size"] == 1


def test_lost_blocks_are_split_and_their_runs_keep_their_attempt(tmp_path):
    own = Planting(n_runs=150, block_size=16)
    layout = plant(tmp_path, own)
    with EventLog(layout) as events:
        assert split_lost(layout, "fit", [BlockTask("fit", 0, block) for block in range(1, 9)], events) == 128
    rows = plans.read_rows(layout, "fit", 1, own=True).to_pylist()
    assert {row["run_id"] for row in rows} == {own.run_id(i) for i in range(16, 144)}
    assert {row["attempt"] for row in rows} == {0}
    assert set(Counter(row["block"] for row in rows).values()) == {2}  # an eighth of 16; 128 runs alone would have 4
    assert [event["n_runs"] for event in read_events(layout) if event["event"] == "split"] == [128]


def test_a_lost_block_of_one_run_is_left_as_it_is(tmp_path):
    own = Planting(n_runs=3, block_size=2)  # blocks of 2 and of 1
    layout = plant(tmp_path, own)
    with EventLog(layout) as events:
        assert split_lost(layout, "fit", [BlockTask("fit", 0, 1)], events) == 0
        assert split_lost(layout, "fit", [], events) == 0
        assert plans.parts(layout, "fit") == (0,)
        assert split_lost(layout, "fit", [BlockTask("fit", 0, 1), BlockTask("fit", 0, 0)], events) == 2
    with pytest.raises(Damage):
        plans.read_header(layout, "fit", 2)
