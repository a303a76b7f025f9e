"""Trees of kept files: content by hash, names inside the tree, links instead of second copies."""

import json
import os

import pytest

from campaign.data import sha256
from campaign.errors import Damage, DataFileError
from campaign.store.copies import keep, restore
from campaign.store.kept import Kept, KeptCode, KeptFile, check_kept, code_hash, differences, kept_in, read_kept
from campaign.store.layout import Layout
from campaign.store.records import publish_json


def kept_of(folder, *names, code=()):
    files = {name: KeptFile(source=folder / name, sha256=sha256(folder / name)) for name in names}
    own = {name: KeptCode(roots=(".",), files={name: files[name].sha256}) for name in code}
    return Kept(files=files, code=own)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "p.py").write_text("x = 1\n")
    (tmp_path / "bin" / "model").write_text("#!/bin/sh\n")
    (tmp_path / "bin" / "model").chmod(0o755)
    return tmp_path


def test_a_tree_is_read_as_it_was_written(folder):
    layout, kept = Layout(folder / "c"), kept_of(folder, "p.py", "bin/model", code=["p.py"])
    assert keep(layout, kept) == ()
    tree = layout.kept(kept.tree)
    again = check_kept(tree)
    assert again.document() == kept.document()
    assert os.access(tree / "bin" / "model", os.X_OK)
    assert not os.access(tree / "p.py", os.X_OK)
    assert read_kept(folder / "bin") is None


def test_a_later_tree_links_what_an_earlier_one_holds(folder):
    layout, first = Layout(folder / "c"), kept_of(folder, "p.py", "bin/model")
    keep(layout, first)
    (folder / "p.py").write_text("x = 2\n")
    second = kept_of(folder, "p.py", "bin/model")
    keep(layout, second)
    before, after = layout.kept(first.tree), layout.kept(second.tree)
    assert (after / "bin" / "model").samefile(before / "bin" / "model")
    assert (before / "p.py").read_text() == "x = 1\n"
    assert differences(first, second) == (("p.py",), (), ())


def test_a_file_that_changes_while_it_is_kept_is_refused(folder):
    kept = kept_of(folder, "p.py")
    (folder / "p.py").write_text("something else\n")
    with pytest.raises(DataFileError, match="has changed since it was planned"):
        keep(Layout(folder / "c"), kept)


def test_a_damaged_file_is_put_back_from_the_original_or_from_an_equal_copy(folder):
    layout, first = Layout(folder / "c"), kept_of(folder, "p.py", "bin/model")
    keep(layout, first)
    (folder / "p.py").write_text("x = 2\n")
    keep(layout, kept_of(folder, "p.py", "bin/model"))
    tree = read_kept(layout.kept(first.tree))
    model, p = tree.files["bin/model"], tree.files["p.py"]
    for sources in ([folder / "bin" / "model"], [folder / "p.py", folder / "nowhere"]):
        model.source.unlink()
        model.source.write_text("damaged")  # a file of its own: the other copy is whole
        assert restore(layout, model, sources)
        assert model.source.read_text() == "#!/bin/sh\n"
        assert os.access(model.source, os.X_OK)
    p.source.write_text("damaged")
    assert not restore(layout, p, [folder / "p.py"])
    assert p.source.read_text() == "damaged"
    check_kept(layout.kept(kept_of(folder, "p.py", "bin/model").tree))


@pytest.mark.parametrize("name", ["../p.py", "/etc/passwd", "a/../../p.py", ""])
def test_an_index_cannot_name_files_outside_of_its_tree(folder, name):
    layout, kept = Layout(folder / "c"), kept_of(folder, "p.py")
    keep(layout, kept)
    index = layout.kept(kept.tree).with_suffix(".json")
    document = json.loads(index.read_text())
    document["files"][name] = {"sha256": "0" * 64, "bytes": 1}
    publish_json(index, document)
    with pytest.raises(Damage, match="is not an index of files"):
        read_kept(layout.kept(kept.tree))


def test_an_index_that_is_not_that_of_its_tree_is_refused(folder):
    layout, kept = Layout(folder / "c"), kept_of(folder, "p.py")
    keep(layout, kept)
    index = layout.kept(kept.tree).with_suffix(".json")
    changed = index.read_text().replace(kept.files["p.py"].sha256, "0" * 64)
    index.write_text(changed)
    with pytest.raises(Damage, match="is damaged"):
        read_kept(layout.kept(kept.tree))
    publish_json(index, json.loads(changed))  # with its checksum
    with pytest.raises(Damage, match="has been changed"):
        read_kept(layout.kept(kept.tree))
    index.unlink()
    with pytest.raises(Damage, match="is missing"):
        kept_in(layout.kept(kept.tree))


def test_the_hash_of_code_is_that_of_the_file_where_it_is_alone():
    assert code_hash("p.py", {"p.py": "ab"}) == "ab"
    assert code_hash("p.py", {"p.py": "ab", "h.py": "cd"}) not in ("ab", "cd")
