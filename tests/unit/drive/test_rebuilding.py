"""What is made again from what else is on disk, and why it is not."""

from __future__ import annotations

import json
from hashlib import sha256

import pytest

from campaign.analysis.finding import Finding
from campaign.drive.rebuilding import rebuild_identity, rebuild_manifest, rebuild_run_folder, rebuild_summaries
from campaign.errors import Damage
from campaign.store.checksum import seal
from campaign.store.claim import read_identity, record_manifest
from campaign.store.events import EventLog
from campaign.store.records import publish_json, read_json
from campaign.store.summaries import read_block
from planting import Planting, identify, plant, publish_records, records

FIT = Planting(n_runs=6, block_size=4)
PATH = "summaries/fit/0000-000000.jsonl"


def finding(place, *paths):
    return Finding(kind="x", place=place, message="damaged", paths=paths)


@pytest.fixture
def layout(tmp_path):
    """The summaries of block 0 are lost; its runs have their folders."""
    layout = plant(tmp_path, FIT)
    identify(layout, "directories")
    own = records(FIT, 0)
    publish_records(layout, "fit", 0, 0, own, [seal({"run_id": one["run_id"]}) for one in own])
    return layout


def test_summaries_are_the_records_of_their_folders_in_the_order_of_the_plan(layout):
    path = layout.root / PATH
    before = path.read_bytes()
    path.unlink()
    assert rebuild_summaries(layout, finding(f"{PATH}, line 3")) is None
    assert path.read_bytes() == before
    assert [record["run_id"] for record in read_block(layout, "fit", 0, 0)] == [FIT.run_id(i) for i in range(4)]


@pytest.mark.parametrize("change", [{"block": 1}, {"part": 1}, {"stage": "other"}, {"run_id": "0" * 32}])
def test_folders_of_another_attempt_are_not_these_summaries(layout, change):
    path, run = layout.root / PATH, layout.summary(FIT.run_id(2))
    path.unlink()
    record = {name: value for name, value in read_json(run).items() if name != "crc32"}
    publish_json(run, record | change)
    assert rebuild_summaries(layout, finding(PATH)) == "its runs have no folders of this attempt"
    assert not path.exists()


def test_a_folder_without_a_checksum_is_not_believed(layout):
    run = layout.summary(FIT.run_id(2))
    record = {name: value for name, value in read_json(run).items() if name != "crc32"}
    run.write_text(json.dumps(record))
    assert rebuild_summaries(layout, finding(PATH)) == "its runs have no folders of this attempt"


def test_one_missing_folder_is_enough(layout):
    layout.summary(FIT.run_id(3)).unlink()
    assert rebuild_summaries(layout, finding(PATH)) == "its runs have no whole folders"


def test_a_block_that_nobody_planned_has_no_summaries(layout):
    assert rebuild_summaries(layout, finding("summaries/fit/0000-000009.jsonl")) == "no plan has this block"
    with pytest.raises(Damage, match=r"summaries/fit/x\.jsonl is not the name of a block's summaries"):
        rebuild_summaries(layout, finding("summaries/fit/x.jsonl"))


def test_a_runs_summary_is_its_line_of_the_summaries(layout):
    run = layout.summary(FIT.run_id(1))
    before = read_json(run)
    run.write_text("{")
    assert rebuild_run_folder(layout, finding(f"runs/{FIT.run_id(1)}/summary.json", PATH)) is None
    assert read_json(run) == before


def test_the_identity_is_that_of_the_last_driver(layout):
    identity = read_json(layout.identity)
    with EventLog(layout) as events:
        events.append("driver_started", identity=identity | {"checkpoint_s": 1.0})
        events.append("driver_started", identity=identity | {"checkpoint_s": 2.0, "more": "of a later version"})
    layout.identity.unlink()
    assert rebuild_identity(layout, finding("campaign.json")) is None
    assert read_identity(layout).checkpoint_s == 2.0
    assert read_identity(layout).id == identity["id"]


@pytest.mark.parametrize("known", [None, {}, {"identity": {"name": "planted"}}])
def test_an_identity_that_no_journal_has_is_lost(layout, known):
    if known is not None:
        with EventLog(layout) as events:
            events.append("driver_started", **known)
    before = layout.identity.read_bytes()
    reason = rebuild_identity(layout, finding("campaign.json"))
    assert reason is not None
    assert f"`campaign submit MANIFEST -d {layout.root}`" in reason
    assert layout.identity.read_bytes() == before


def test_the_manifest_and_its_last_version_replace_each_other(layout):
    first, last = layout.manifest.read_bytes(), b'{"schema": "campaign/1", "name": "later"}'
    record_manifest(layout, last)
    layout.manifest.write_bytes(b"")
    assert rebuild_manifest(layout, finding("manifest.json")) is None
    assert layout.manifest.read_bytes() == last  # not the first one
    (layout.history / "0001.json").write_bytes(b"[1]")
    assert rebuild_manifest(layout, finding("history/0001.json")) is None
    assert (layout.history / "0001.json").read_bytes() == last
    assert (layout.history / "0000.json").read_bytes() == first


@pytest.mark.parametrize("other", [b"", b"[]", b'"text"', b"\xff"])
def test_a_manifest_is_not_made_from_another_wreck(layout, other):
    for path in (layout.manifest, *layout.history.iterdir()):
        path.write_bytes(other)
    reason = rebuild_manifest(layout, finding("manifest.json"))
    assert reason is not None
    assert "the other copy of it is damaged too" in reason
    assert layout.manifest.read_bytes() == other


def test_a_version_that_no_driver_began_with_is_not_the_manifest(layout):
    with EventLog(layout) as events:
        events.append("driver_started", manifest=sha256(b"another").hexdigest())
    layout.manifest.unlink()
    assert rebuild_manifest(layout, finding("manifest.json")) is not None
    assert not layout.manifest.exists()
    for path in layout.history.iterdir():
        path.unlink()
    assert rebuild_manifest(layout, finding("manifest.json")) is not None
