"""In which order damage is repaired, what is refused, and what a driver cannot do without."""

from __future__ import annotations

import pytest

from campaign.analysis.finding import NONE, REBUILD, Finding
from campaign.analysis.verify import verify
from campaign.drive import repairing
from campaign.drive.repairing import VITAL, _level, _made_again, refuse, repair, repair_campaign, repair_foundation
from campaign.errors import Damage, Unavailable, UsageError
from campaign.reduce.reducer import reduce
from campaign.store.events import read_events
from campaign.store.layout import Layout
from campaign.store.lease import acquire
from planting import Planting, plant, publish

FIT = Planting(n_runs=6, block_size=4)


def finding(kind, place="x", message="broken", repair=NONE, paths=()):
    return Finding(kind=kind, place=place, message=message, repair=repair, paths=paths)


def test_what_others_rest_on_comes_first():
    kinds = ["table", "input", "summaries", "plan", "events", "manifest", "program", "identity", "trace"]
    order = sorted(kinds, key=lambda kind: _level(finding(kind)))
    assert order[:4] == ["manifest", "identity", "plan", "input"]
    assert len({_level(finding(kind)) for kind in order[4:]}) == 1


@pytest.mark.parametrize("kind", ["table", "events", "trace", "state", "input", "run folder", "foreign"])
def test_a_driver_goes_on_without_what_it_can_do_without(tmp_path, kind):
    refuse([finding(kind)], Layout(tmp_path))


def test_a_driver_is_refused_what_it_needs_with_the_first_and_how_many_more(tmp_path):
    left = [finding("table"), *(finding(kind, f"place {kind}") for kind in sorted(VITAL))]
    with pytest.raises(Damage) as caught:
        refuse(left, Layout(tmp_path))
    assert caught.value.message == "place identity: broken (and 4 more)"
    assert caught.value.hint == f"`campaign verify {tmp_path}` lists all findings"
    with pytest.raises(Damage) as caught:
        refuse(left[-1:], Layout(tmp_path))
    assert caught.value.message == "place summaries: broken"


def test_a_disk_that_cannot_be_written_ends_the_repair_and_other_reasons_are_told(tmp_path, monkeypatch):
    def full(layout, found):
        raise Unavailable("the disk is full")

    def damaged(layout, found):
        raise Damage("the plan is lost", hint="put it back")

    monkeypatch.setitem(repairing._REBUILDERS, "plan", full)
    with pytest.raises(Unavailable, match="the disk is full"):
        _made_again(Layout(tmp_path), finding("plan", repair=REBUILD))
    monkeypatch.setitem(repairing._REBUILDERS, "plan", damaged)
    assert "the plan is lost" in (_made_again(Layout(tmp_path), finding("plan", repair=REBUILD)) or "")


@pytest.fixture
def layout(tmp_path):
    layout = plant(tmp_path, FIT)
    publish(layout, FIT)
    reduce(layout)
    return layout


def test_a_wreck_is_kept_under_damaged_and_what_replaces_it_is_named(layout):
    layout.manifest.write_bytes(b"wreck")
    repaired = repair(layout, verify(layout))
    assert repaired.rebuilt == ("manifest.json",)
    assert (repaired.folder, repaired.left) == ("damaged/0", ())
    assert (layout.root / "damaged" / "0" / "manifest.json").read_bytes() == b"wreck"
    layout.manifest.unlink()  # nothing is kept of what is not there
    assert repair(layout, verify(layout)).folder == ""
    layout.manifest.write_bytes(b"second wreck")
    assert repair(layout, verify(layout)).folder == "damaged/1"


def test_nothing_is_put_aside_that_cannot_be_computed_again(layout):
    """Summaries are damaged and the plan is lost: the summaries stay where they are, with the reason."""
    summaries = layout.summaries("fit", 0, 1)
    summaries.write_bytes(b"wreck\n")
    layout.plan_header("fit", 0).write_bytes(b"{}")
    layout.plan_rows("fit", 0).write_bytes(b"")
    repaired = repair(layout, verify(layout))
    assert summaries.read_bytes() == b"wreck\n"
    left = {one.kind: one for one in repaired.left}
    assert "it cannot be made again from the manifest" in left["plan"].message
    assert all(one.repair == NONE for one in repaired.left if one.kind in ("plan", "summaries"))


def test_summaries_that_are_lost_count_as_not_done(layout):
    layout.summaries("fit", 0, 1).write_bytes(b"wreck\n")
    with acquire(layout) as lease:
        repair_campaign(layout, lease)
    assert not layout.summaries("fit", 0, 1).exists()
    assert (layout.root / "damaged/0/summaries/fit/0000-000001.jsonl").read_bytes() == b"wreck\n"
    (event,) = [event for event in read_events(layout) if event["event"] == "repaired"]
    assert event["moved"] == ["summaries/fit/0000-000001.jsonl"]
    assert event["rebuilt"] == []


def test_a_whole_campaign_is_left_alone(layout):
    before = {path: path.read_bytes() for path in layout.root.rglob("*") if path.is_file()}
    with acquire(layout) as lease:
        repair_campaign(layout, lease)
    after = {path: path.read_bytes() for path in layout.root.rglob("*") if path.is_file()}
    assert after == before


def test_a_directory_that_is_no_campaign_is_not_repaired(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="is not a campaign directory"):
        repair_foundation(Layout(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
