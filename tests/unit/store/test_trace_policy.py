"""What `trace` may say, and how headers of every age are understood."""

import numpy as np
import pytest

from campaign.errors import InvalidValue
from campaign.manifest.load import from_document
from campaign.schedule.check import open_document
from campaign.schedule.planning import plan_stage
from campaign.store.trace_policy import TracePolicy, trace_policy

BASE = {"schema": "campaign/1", "name": "t", "problem": {"name": "decay"}, "engine": {"name": "trf"}}


@pytest.mark.parametrize(
    ("value", "fields", "every", "runs"),
    [
        (True, None, 1, "all"),
        (False, frozenset(), 1, "all"),
        ({"fields": ["theta", "loss"]}, {"loss", "theta"}, 1, "all"),
        ({"fields": []}, frozenset(), 1, "all"),
        ({"every": 10}, None, 10, "all"),
        ({"fields": None, "every": 2, "runs": "failed"}, None, 2, "failed"),
    ],
)
def test_every_form_is_understood_and_survives_a_header(value, fields, every, runs):
    policy = trace_policy(value)
    assert (policy.fields, policy.every, policy.runs) == (fields, every, runs)
    assert trace_policy(policy.document()) == policy
    assert policy.is_nothing == (fields == frozenset())


@pytest.mark.parametrize(
    ("value", "rows"),
    [("none", []), ("failed", []), ("first", [0]), ("all", [0, 1, 2, 3, 4, 5]), (1, [0, 1, 2, 3, 4, 5]), (3, [0, 3])],
)
def test_runs_that_are_recorded_in_every_detail(value, rows):
    policy = trace_policy({"fields": ["loss"], "diagnostics": value})
    assert np.flatnonzero(policy.are_detailed(np.arange(6))).tolist() == rows
    assert policy.has_details == bool(rows)
    assert trace_policy(policy.document()) == policy
    assert trace_policy({"fields": [], "diagnostics": value}).is_nothing == (not rows)


@pytest.mark.parametrize("value", ["some", 0, -1, 1.5, True, None, ["first"]])
def test_diagnostics_of_nobody(value):
    with pytest.raises(InvalidValue, match="diagnostics"):
        trace_policy({"diagnostics": value})


@pytest.mark.parametrize("value", [None, 1, "all", {}, {"every": 1.0}, {"fields": ["a", 1]}, {"run": "all"}, []])
def test_anything_else_is_refused(value):
    with pytest.raises(InvalidValue):
        trace_policy(value)


@pytest.mark.parametrize(("n_steps", "every", "expected"), [(0, 3, 0), (1, 3, 1), (3, 3, 1), (4, 3, 2), (7, 1, 7)])
def test_the_number_of_recorded_steps(n_steps, every, expected):
    assert TracePolicy(every=every).n_recorded(n_steps) == expected == len(range(0, n_steps, every))


def test_the_plan_carries_it():
    manifest = open_document(BASE | {"trace": {"fields": ["theta", "loss"], "every": 5, "runs": "first"}})
    header = plan_stage(manifest, "main", created_at="2026-11-29T00:00:00Z").header
    assert header["trace"] == {"fields": ["loss", "theta"], "every": 5, "runs": "first"}


def test_it_is_no_part_of_a_run_id():
    ids = []
    for trace in (True, {"every": 5}):
        manifest = from_document(BASE | {"trace": trace}).manifest
        ids.append(plan_stage(manifest, "main", created_at="2026-11-29T00:00:00Z").rows["run_id"].to_pylist())
    assert ids[0] == ids[1]
