"""A submission that waits: told from a manifest by its name, the same whenever it is the same."""

from __future__ import annotations

import json

import pytest

from campaign.drive.held import Submission, held_at, hold, opened
from campaign.errors import Damage
from campaign.store.layout import Layout
from campaign.store.records import publish_json, read_json
from mean_problem import mean_problem

MANIFEST = {"schema": "campaign/1", "name": "t", "engine": {"name": "evaluate"}}


def manifest(folder, **keys):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "m.json"
    path.write_text(json.dumps(MANIFEST | {"problem": {"name": "decay"}} | keys, indent=3))
    return path


def test_a_manifest_is_recorded_byte_for_byte_unless_settings_change_it(tmp_path):
    path = manifest(tmp_path)
    assert opened(path).text == path.read_bytes()
    changed = opened(path, ["seed=5"])
    assert json.loads(changed.text) == json.loads(path.read_text()) | {"seed": 5}
    assert changed.manifest.seed == 5


def test_a_manifest_may_lie_in_a_folder_called_lock(tmp_path):
    path = manifest(tmp_path / "lock")
    assert opened(path).folder == tmp_path / "lock"
    for name in ("submission-1.json", "submission-0123456789abcdef.json.json", "submission-0123456789ABCDEF.json"):
        other = path.rename(path.with_name(name))
        assert opened(other).manifest.name == "t"
        path = other
    outside = path.rename(tmp_path / "submission-0123456789abcdef.json")
    assert opened(outside).manifest.name == "t"


def test_equal_submissions_are_held_once_and_others_apart(tmp_path):
    layout, path = Layout(tmp_path / "c"), manifest(tmp_path)
    first = held_at(layout, opened(path))
    assert first == held_at(layout, opened(path))
    own = opened(path)
    moved = Submission(manifest=own.manifest, text=own.text, folder=tmp_path / "elsewhere")
    assert held_at(layout, moved) != first
    path.write_text(path.read_text() + "\n")
    assert held_at(layout, opened(path)) != first
    (tmp_path / "p.py").write_text(mean_problem())
    one = held_at(layout, opened(manifest(tmp_path, problem={"name": "p.py:mean"})))
    (tmp_path / "p.py").write_text(mean_problem("2 * np.ones(3) * k"))
    assert held_at(layout, opened(tmp_path / "m.json")) != one  # the same manifest, other files


def test_what_is_held_is_what_was_submitted_whatever_is_edited(tmp_path):
    (tmp_path / "p.py").write_text(mean_problem())
    path, layout = manifest(tmp_path, problem={"name": "p.py:mean"}), Layout(tmp_path / "c")
    held = hold(layout, opened(path, ["seed=5"]))
    code = (tmp_path / "p.py").read_bytes()
    (tmp_path / "p.py").write_text("broken(")
    path.write_text("{}")
    found = opened(held)
    assert found.manifest.seed == 5
    assert found.folder == tmp_path  # of the originals: `resume` may look there
    assert found.manifest.folder.parent == layout.inputs
    assert (found.manifest.folder / "p.py").read_bytes() == code
    (found.manifest.folder / "p.py").write_text("x = 1")
    with pytest.raises(Damage, match=r"p\.py has been changed .* submitted with"):
        opened(held)


def test_a_problem_of_a_package_is_held_without_copies(tmp_path):
    layout = Layout(tmp_path / "c")
    held = hold(layout, opened(manifest(tmp_path)))
    assert read_json(held)["tree"] is None
    assert not layout.inputs.exists()
    assert opened(held).manifest.folder == opened(held).folder == tmp_path


def test_another_document_under_that_name_is_refused(tmp_path):
    path = Layout(tmp_path).submission("0123456789abcdef")
    publish_json(path, {"schema": "campaign.submission/2", "manifest": "{}", "folder": "/", "tree": None})
    with pytest.raises(Damage, match="is not a submission") as caught:
        opened(path)
    assert str(path) in caught.value.message
    assert caught.value.hint == "submit the manifest again"
