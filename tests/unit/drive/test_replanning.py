"""A part of a plan that was made again is believed where it agrees with all that is left."""

from __future__ import annotations

import json
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from campaign.analysis.finding import Finding
from campaign.drive.next_part import planned
from campaign.drive.replanning import _agrees_with_rows, _contradiction, _has_rows, _is_tried_again, rebuild_plan
from campaign.errors import Damage
from campaign.manifest.load import loads
from campaign.schedule.pending import replan_failed
from campaign.store import plan as plans
from campaign.store.claim import claim, record_manifest
from campaign.store.events import EventLog
from campaign.store.layout import Layout
from campaign.store.records import dumps
from campaign.store.summaries import publish_block

TEXT = {
    "schema": "campaign/1",
    "name": "t",
    "problem": {"name": "decay", "n": 5},
    "engine": {"name": "evaluate"},
    "expand": {"grid": {"start.rate": [1.0, 2.0, 3.0, 4.0, 5.0]}},
    "block": 2,
}
HEADER, ROWS = (Finding(kind="plan", place=f"plan/main/0000.{end}", message="damaged") for end in ("json", "parquet"))


def submit(layout, **keys):
    """Record a manifest and plan its stage."""
    manifest = loads(json.dumps(TEXT | keys), folder=layout.root, source="t.json")
    part = planned(layout, manifest, manifest.stages[0])
    plans.write_part(layout, part)
    claim(layout, "t", folder=layout.root, mode="packed", checkpoint_s=None)
    record_manifest(layout, json.dumps(TEXT | keys).encode())
    return part


@pytest.fixture
def layout(tmp_path):
    layout = Layout(tmp_path / "c")
    layout.root.mkdir()
    claim(layout, "t", folder=tmp_path, mode="packed", checkpoint_s=None)
    submit(layout)
    return layout


def publish(layout, block, *run_ids):
    publish_block(layout, "main", 0, block, [dumps({"run_id": run_id}) for run_id in run_ids])


def ids(layout, block):
    return plans.read_block(layout, "main", 0, block).sort_by("row").column("run_id").to_pylist()


@pytest.mark.parametrize("lost", ["header", "rows", "both"])
def test_what_is_lost_of_a_part_comes_back_as_it_was(layout, lost):
    files = {"header": layout.plan_header("main", 0), "rows": layout.plan_rows("main", 0)}
    known = {name: path.read_bytes() for name, path in files.items()}
    for name, path in files.items():
        if lost in (name, "both"):
            path.write_bytes(b"")
    assert rebuild_plan(layout, ROWS if lost == "rows" else HEADER) is None
    assert files["rows"].read_bytes() == known["rows"]
    free = {"created_at", "crc32"}
    now, before = (json.loads(text) for text in (files["header"].read_bytes(), known["header"]))
    assert {k: v for k, v in now.items() if k not in free} == {k: v for k, v in before.items() if k not in free}
    assert lost != "rows" or now == before  # a header that is left stays


def test_the_time_of_a_header_is_that_of_its_submission(layout):
    with EventLog(layout) as events:
        sha = plans.read_header(layout, "main", 0)["manifest_sha256"]
        events.append("submitted", manifest_sha256=sha, stages={"main": {"part": 0}})
    layout.plan_header("main", 0).unlink()
    assert rebuild_plan(layout, HEADER) is None
    assert plans.read_header(layout, "main", 0)["created_at"].startswith("20")


def test_a_part_of_an_earlier_manifest_is_planned_from_that(layout):
    first = plans.read_rows(layout, "main", 0)
    submit(layout, expand={"grid": {"start.rate": [1.0, 9.0]}})
    layout.plan_rows("main", 0).write_bytes(b"")
    assert rebuild_plan(layout, ROWS) is None
    assert plans.read_rows(layout, "main", 0).equals(first)


def test_what_the_manifest_no_longer_gives_is_refused_with_the_reason(layout):
    layout.manifest.write_bytes(json.dumps(TEXT | {"seed": 8}).encode())
    for path in layout.history.iterdir():
        path.unlink()
    layout.plan_header("main", 0).unlink()
    reason = rebuild_plan(layout, HEADER)
    assert reason is not None
    assert "(what it would plan today is not what the rows say)" in reason
    assert f"put back {layout.plan_folder('main')}/0000.* from a copy" in reason
    layout.manifest.write_bytes(b"{")
    assert "(no manifest that is left planned it)" in (rebuild_plan(layout, HEADER) or "")


def contradiction(layout, header=None, rows=None, part=0, **changes):
    manifest = loads(json.dumps(TEXT), folder=layout.root, source="t.json")
    found = planned(layout, manifest, manifest.stages[0], before=0)
    found = replace(found, header={**found.header, "part": part if changes else 0, **changes})
    return _contradiction(layout, found, part, header, rows)


def test_a_planned_part_is_compared_with_all_that_is_left(layout):
    header, rows = plans.read_header(layout, "main", 0), plans.read_rows(layout, "main", 0)
    assert contradiction(layout) is None
    assert contradiction(layout, header, rows) is None
    assert contradiction(layout, header | {"created_at": "yesterday", "warnings": ["said then"]}) is None
    assert contradiction(layout, header | {"seed": 8}) == "what it would plan today is not what the header says"
    assert contradiction(layout, None, rows.slice(1)) == "what it would plan today is not what the rows say"
    assert contradiction(layout, part=1) == "the parts before part 1 are not all there"
    again = "part 2 holds runs that were tried again, which the manifest does not name"
    assert contradiction(layout, part=2, n_new=0, n_removed=0) == again
    assert contradiction(layout, part=2, n_new=0, n_removed=1) is None


def test_published_blocks_hold_the_runs_that_the_part_gives_them(layout):
    one, two = ids(layout, 0)
    publish(layout, 0, one, two)
    assert contradiction(layout) is None
    publish(layout, 1, *reversed(ids(layout, 1)))
    assert contradiction(layout) == "what it would plan today has other runs in block 1 than are published"
    layout.summaries("main", 0, 1).write_bytes(b"wreck\n")  # told of the summaries, not of the plan
    assert contradiction(layout) is None
    publish(layout, 2, one)  # the last block has one run
    assert "block 2" in (contradiction(layout) or "")


def test_header_and_rows_agree_by_their_counts():
    rows = pa.table({"part": pa.array([0, 0, 1], pa.int32())})
    assert _agrees_with_rows({"n_runs": 3, "n_new": 1}, rows, 1)
    assert not _agrees_with_rows({"n_runs": 3, "n_new": 2}, rows, 1)
    assert not _agrees_with_rows({"n_runs": 2, "n_new": 1}, rows, 1)
    assert _agrees_with_rows({"n_runs": 3, "n_new": 0}, rows, 2)  # a part that only removes runs
    assert _agrees_with_rows({"n_runs": 0, "n_new": 0}, rows.slice(3), 0)


def retried(layout, kind="error"):
    """Part 1: the first run once more."""
    (run_id, *_) = ids(layout, 0)
    plans.write_part(layout, replan_failed(layout, "main", [run_id]))
    with EventLog(layout) as events:
        events.append("retried", stage="main", kind=kind, n_runs=1)


def test_a_last_part_of_retries_by_rule_will_be_planned_again(tmp_path):
    layout = Layout(tmp_path / "c")
    layout.root.mkdir()
    claim(layout, "t", folder=tmp_path, mode="packed", checkpoint_s=None)
    submit(layout, retry={"error": 2})
    with EventLog(layout) as events:
        events.append("retried", stage="main", kind="error", n_runs=1)
    assert not _is_tried_again(layout, "main", 0, None)  # the first part is never one of retries
    retried(layout)
    header = plans.read_header(layout, "main", 1)
    assert _is_tried_again(layout, "main", 1, None)
    assert _is_tried_again(layout, "main", 1, header)
    assert not _is_tried_again(layout, "main", 1, header | {"manifest_sha256": "of another"})
    assert not _is_tried_again(layout, "main", 0, None)  # not the last part
    retried(layout)
    assert not _is_tried_again(layout, "main", 1, header)
    assert _is_tried_again(layout, "main", 2, None)
    with EventLog(layout) as events:
        events.append("retried", stage="main", kind="timeout", n_runs=1)  # by a person: no rule brings it back
    assert not _is_tried_again(layout, "main", 2, None)


def test_a_part_that_was_submitted_or_has_no_rules_is_no_part_of_retries(layout):
    retried(layout)
    assert not _is_tried_again(layout, "main", 1, None)  # the manifest has no rules: a person asked
    record_manifest(layout, json.dumps(TEXT | {"retry": 1}).encode())
    assert _is_tried_again(layout, "main", 1, None)
    with EventLog(layout) as events:
        events.append("submitted", manifest_sha256="x", stages={"main": {"part": 1}})
    assert not _is_tried_again(layout, "main", 1, None)


def test_a_lost_part_of_retries_is_put_aside_with_what_it_published(tmp_path):
    layout = Layout(tmp_path / "c")
    layout.root.mkdir()
    claim(layout, "t", folder=tmp_path, mode="packed", checkpoint_s=None)
    submit(layout, retry={"error": 1})
    first = ids(layout, 0)
    publish(layout, 0, *first)
    retried(layout)
    publish_block(layout, "main", 1, 0, [dumps({"run_id": first[0]})])
    layout.plan_rows("main", 1).write_bytes(b"wreck")
    assert rebuild_plan(layout, replace(ROWS, place="plan/main/0001.parquet")) is None
    assert plans.parts(layout, "main") == (0,)
    aside = layout.damaged / "0"
    names = {path.relative_to(aside).as_posix() for path in aside.rglob("*") if path.is_file()}
    assert names == {"plan/main/0001.json", "plan/main/0001.parquet", "summaries/main/0001-000000.jsonl"}
    assert layout.summaries("main", 0, 0).exists()
    with pytest.raises(Damage):
        plans.read_header(layout, "main", 1)


def test_a_stage_has_rows_where_its_table_says_so(layout):
    assert not _has_rows(layout, "main")
    layout.tables.mkdir()
    layout.table.write_bytes(b"wreck")
    assert not _has_rows(layout, "main")
    pq.write_table(pa.table({"stage": ["other", "main"]}), layout.table)
    assert _has_rows(layout, "main")
    assert not _has_rows(layout, "third")
