"""What is said of files that changed since the last submission, and where a stored manifest's files are."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from campaign.data import sha256
from campaign.drive.keeping import changes, folder_of, keep_files, last_tree, stored_manifest
from campaign.errors import Damage, Incomplete, UsageError
from campaign.manifest.load import loads
from campaign.store.claim import claim, read_identity, record_manifest
from campaign.store.copies import keep
from campaign.store.kept import Kept, KeptCode, KeptFile, index_of
from campaign.store.layout import Layout

TEXT = {"schema": "campaign/1", "name": "t", "problem": {"name": "decay"}, "engine": {"name": "evaluate"}}


def kept_of(folder, *code, **contents):
    """Files with these contents, of which `code` belong to the problem file."""
    folder.mkdir(exist_ok=True)
    files = {}
    for stem, text in contents.items():
        path = folder / f"{stem}.py"
        path.write_text(text)
        files[path.name] = KeptFile(source=path, sha256=sha256(path))
    own = {f"{stem}.py": files[f"{stem}.py"].sha256 for stem in code}
    return Kept(files=files, code={"p.py": KeptCode(roots=(".",), files=own)} if code else {})


def manifest(kept=None, **keys):
    return replace(loads(json.dumps(TEXT | keys), source="t.json"), kept=kept)


@pytest.fixture
def said(tmp_path):
    """What is said of a submission of files after one of others."""

    def said(before, after):
        layout = Layout(tmp_path / "c")
        layout.root.mkdir(exist_ok=True)
        claim(layout, "t", folder=tmp_path, mode="packed", checkpoint_s=None, inputs={"a" * 64: before.tree or ""})
        keep(layout, before)
        return changes(layout, read_identity(layout), manifest(after))

    return said


def test_one_file_that_changed_is_named(tmp_path, said):
    (text,) = said(kept_of(tmp_path / "1", "p", p="1", q="1"), kept_of(tmp_path / "2", "p", p="2", q="1"))
    assert text == (
        "`p.py` has changed since the last submission: runs that depend on it are new ones, and those done before "
        "leave the table (their records stay on disk)"
    )


def test_several_are_counted_and_at_most_five_are_named(tmp_path, said):
    names = "abcdefg"
    one, two = (kept_of(tmp_path / x, **dict.fromkeys(names, x)) for x in "12")
    (text,) = said(one, two)
    listed = ", ".join(f"`{name}.py`" for name in "abcde")
    assert text.startswith(f"{listed} and 2 more have changed since the last submission: runs that depend on them are")
    five = Kept(files={name: two.files[name] for name in list(two.files)[:5]}, code={})
    (text,) = said(Kept(files={name: one.files[name] for name in five.files}, code={}), five)
    assert text.startswith(f"{listed} have changed")


def test_files_that_come_or_go_matter_where_they_are_code(tmp_path, said):
    before = kept_of(tmp_path / "1", "p", "old", p="1", old="1", data_old="1")
    after = kept_of(tmp_path / "2", "p", "new", p="1", new="1", data_new="1")
    assert [text.partition(":")[0] for text in said(before, after)] == [
        "`new.py` has been added since the last submission",
        "`old.py` has been removed since the last submission",
    ]


def test_nothing_is_said_where_nothing_is_known(tmp_path, said):
    kept = kept_of(tmp_path / "1", "p", p="1")
    layout = Layout(tmp_path / "c")
    assert changes(layout, None, manifest(kept)) == ()
    assert said(kept, kept) == ()
    assert said(kept, None) == ()  # this submission keeps no files
    index_of(layout.kept(kept.tree or "")).write_text("{")  # damaged; the submission writes it again
    assert changes(layout, read_identity(layout), manifest(kept_of(tmp_path / "2", "p", p="2"))) == ()


def test_the_last_tree_is_that_of_the_last_submission(tmp_path):
    layout = Layout(tmp_path / "c")
    layout.root.mkdir()
    assert last_tree(None) is None
    for sha, tree in (("z", "one"), ("a", "two"), ("z", "three")):  # the first manifest was submitted once more
        claim(layout, "t", folder=tmp_path, mode="packed", checkpoint_s=None, inputs={sha: tree})
    assert last_tree(read_identity(layout)) == "three"
    assert last_tree(replace(read_identity(layout), inputs={})) is None


def test_files_are_the_copies_or_where_there_are_none_the_originals(tmp_path):
    layout = Layout(tmp_path / "c")
    layout.root.mkdir()
    kept = kept_of(tmp_path / "1", "p", p="1")
    claim(layout, "t", folder=tmp_path, mode="packed", checkpoint_s=None, inputs={"known": kept.tree or ""})
    own, notes = keep_files(layout, manifest(kept))
    assert (own.folder, notes) == (layout.kept(kept.tree or ""), ())
    identity = read_identity(layout)
    assert folder_of(layout, identity, "known") == own.folder
    assert folder_of(layout, identity, "other") == tmp_path
    (own.folder / "p.py").write_text("2")
    with pytest.raises(Damage, match=r"p\.py has been changed"):
        folder_of(layout, identity, "known")


@pytest.mark.parametrize("kept", [None, Kept(files={}, code={})])
def test_a_manifest_without_files_stays_as_it_is(tmp_path, kept):
    own = manifest(kept)
    assert keep_files(Layout(tmp_path), own) == (own, ())
    assert not Layout(tmp_path).inputs.exists()


def test_a_missing_manifest_is_damage_and_a_missing_identity_no_campaign(tmp_path):
    layout = Layout(tmp_path)
    with pytest.raises(UsageError, match="is not a campaign directory"):
        stored_manifest(layout)
    claim(layout, "t", folder=tmp_path, mode="packed", checkpoint_s=None)
    with pytest.raises(Incomplete, match="its driver ended before"):
        stored_manifest(layout)
    (tmp_path / "plan").mkdir()
    with pytest.raises(Damage, match=r"manifest\.json is missing") as caught:
        stored_manifest(layout)
    assert caught.value.hint == f"run `campaign verify {tmp_path} --repair`"
    record_manifest(layout, json.dumps(TEXT).encode())
    assert stored_manifest(layout).kept is None
