"""What the doors find out before they write anything, and say."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from campaign.drive.doors import _is_next, _note_files, request_stop, resume, retry, submit
from campaign.errors import InvalidValue, UnknownName, UsageError
from campaign.manifest.load import loads
from campaign.store.claim import claim, read_identity, record_manifest
from campaign.store.kept import Kept, KeptFile
from campaign.store.layout import Layout
from campaign.store.lease import acquire
from campaign.store.stop import stop_requested
from planting import Planting, plant, write_plan

TEXT = {"schema": "campaign/1", "name": "t", "problem": {"name": "decay"}, "engine": {"name": "evaluate"}}


@pytest.fixture
def known(tmp_path):
    """A campaign that has been submitted, without results."""
    layout = Layout(tmp_path / "c")
    layout.root.mkdir()
    claim(layout, "t", folder=tmp_path, mode="packed", checkpoint_s=None)
    record_manifest(layout, json.dumps(TEXT).encode())
    return layout


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"executor": "dusk"}, "unknown executor `dusk`"),
        ({"profile": "cluster"}, "unknown profile `cluster`"),
    ],
)
def test_nothing_is_written_for_an_executor_that_there_is_not(tmp_path, known, changes, message):
    path = tmp_path / "m.json"
    path.write_text(json.dumps(TEXT))
    with pytest.raises(UnknownName, match=message):
        submit(path, tmp_path / "new", **changes)
    assert not (tmp_path / "new").exists()
    before = sorted(known.root.rglob("*"))
    with pytest.raises(UnknownName, match=message):
        resume(known.root, **changes)
    assert sorted(known.root.rglob("*")) == before


def test_a_directory_of_another_campaign_is_not_used(tmp_path, known):
    path = tmp_path / "m.json"
    path.write_text(json.dumps(TEXT | {"name": "other"}))
    with pytest.raises(UsageError, match="belongs to the campaign `t`, not to `other`"):
        submit(path, known.root)


def test_a_part_is_the_next_one_until_another_driver_has_written_it(tmp_path):
    layout = Layout(tmp_path)
    assert [_is_next(layout, "fit", part) for part in (0, 1)] == [True, False]
    plant(tmp_path, Planting(n_runs=2))
    assert [_is_next(layout, "fit", part) for part in (0, 1, 2)] == [False, True, False]
    assert _is_next(layout, "other", 0)
    later = Planting(n_runs=2, part=1)
    write_plan(layout, later, later.rows())
    assert [_is_next(layout, "fit", part) for part in (1, 2)] == [False, True]


def test_an_unknown_kind_of_ending_is_told_with_the_nearest(tmp_path):
    with pytest.raises(UnknownName) as caught:
        retry(tmp_path / "no campaign", [], kinds=["timeout", "timeouts"])
    assert "unknown kind of ending `timeouts`" in str(caught.value)
    assert "`timeout`" in (caught.value.hint or "")


def test_there_is_nothing_to_retry_before_there_is_a_table(known):
    with pytest.raises(InvalidValue, match="has no table yet") as caught:
        retry(known.root, [])
    assert caught.value.hint == "run `campaign reduce` first"
    assert not known.lease.exists()


def test_nobody_is_asked_to_stop_where_nobody_works(tmp_path, known):
    with pytest.raises(UsageError, match="is not a campaign directory"):
        request_stop(tmp_path, "drain")
    assert not request_stop(known.root, "drain")
    assert stop_requested(known) is None
    with acquire(known):
        assert request_stop(known.root, "pause")
        request = stop_requested(known)
        assert request is not None
        assert request.mode == "pause"


def test_the_files_of_a_manifest_are_noted_and_nothing_else_of_the_identity_changes(tmp_path, known):
    manifest, before = loads(json.dumps(TEXT), source="t.json"), read_identity(known)
    _note_files(known, manifest)
    assert read_identity(known) == before
    kept = Kept(files={"p.py": KeptFile(source=tmp_path / "p.py", sha256="ab" * 32)}, code={})
    _note_files(known, replace(manifest, kept=kept))
    assert read_identity(known) == replace(before, inputs={manifest.sha256: kept.tree})
