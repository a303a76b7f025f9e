import hashlib

import pytest

from campaign import data
from campaign.errors import DataFileError


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """A manifest's folder and a data folder; no other folder is asked."""
    manifest, store = tmp_path / "manifest", tmp_path / "store"
    (store / "nist").mkdir(parents=True)
    manifest.mkdir()
    monkeypatch.setenv("CAMPAIGN_DATA", str(store))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(data, "__file__", str(tmp_path / "a/b/src/campaign/data.py"))
    data._listing.cache_clear()
    return manifest, store


def test_beside_the_manifest_comes_first(folders):
    manifest, store = folders
    (manifest / "x.dat").write_text("1")
    (store / "x.dat").write_text("2")
    assert data.find("x.dat", manifest).read_text() == "1"
    assert data.find("x.dat", None).read_text() == "2"


def test_a_name_may_leave_out_leading_folders(folders):
    manifest, store = folders
    (store / "nist" / "Misra1a.dat").write_text("1")
    assert data.find("nist/Misra1a.dat", manifest) == data.find("Misra1a.dat", manifest) == store / "nist/Misra1a.dat"


def test_the_cache_and_the_folder_beside_the_checkout_are_asked(folders, tmp_path):
    (tmp_path / "cache/campaign").mkdir(parents=True)
    (tmp_path / "cache/campaign/c.dat").write_text("c")
    (tmp_path / "a/shared/data").mkdir(parents=True)
    (tmp_path / "a/shared/data/d.dat").write_text("d")
    assert data.find("c.dat").read_text() == "c"
    assert data.find("d.dat").read_text() == "d"


def test_two_files_of_one_name_and_other_content_are_ambiguous(folders):
    _, store = folders
    (store / "other").mkdir()
    (store / "nist" / "y.dat").write_text("1")
    (store / "other" / "y.dat").write_text("2")
    with pytest.raises(DataFileError, match=r"nist/y\.dat, other/y\.dat"):
        data.find("y.dat")
    assert data.find("other/y.dat").read_text() == "2"


def test_a_missing_file_says_where_it_was_looked_for(folders):
    manifest, store = folders
    with pytest.raises(DataFileError) as caught:
        data.find("none.dat", manifest)
    assert str(manifest) in str(caught.value)
    assert str(store) in str(caught.value)
    assert "CAMPAIGN_DATA" in caught.value.hint


@pytest.mark.parametrize(
    "name", ["/etc/hosts", "../x", "a/../../x", "http://h/x", "file:///x", "C:/x", "~/x", "a\\b", "", "a\0b"]
)
def test_escaping_names(folders, name):
    with pytest.raises(DataFileError):
        data.find(name, folders[0])


def test_a_link_out_of_the_manifests_folder(folders, tmp_path):
    manifest, _ = folders
    (tmp_path / "secret.dat").write_text("s")
    (manifest / "link.dat").symlink_to(tmp_path / "secret.dat")
    with pytest.raises(DataFileError, match="is a link out of"):
        data.find("link.dat", manifest)


def test_hash_and_change(folders):
    path = folders[0] / "x.dat"
    path.write_bytes(b"abc")
    expected = hashlib.sha256(b"abc").hexdigest()
    assert data.sha256(path) == expected
    assert data.verified(path, expected) == path
    path.write_bytes(b"abcd")
    with pytest.raises(DataFileError, match="has changed since it was planned"):
        data.verified(path, expected)
