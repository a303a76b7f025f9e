"""The commit of a folder, by Git itself."""

import subprocess

import pytest

from campaign.drive.revision import revision


@pytest.fixture
def repository(tmp_path):
    for words in (["init", "-q"], ["add", "a"], ["commit", "-q", "-m", "a"]):
        (tmp_path / "a").write_text("1")
        own = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *own, *words], cwd=tmp_path, check=True)
    return tmp_path


def test_the_commit_and_whether_tracked_files_differ_from_it(repository):
    head = (repository / ".git" / "HEAD").read_text().removeprefix("ref: ").strip()
    commit = (repository / ".git" / head).read_text().strip()
    (repository / "untracked").write_text("x")
    assert revision(repository) == {"commit": commit, "dirty": False}
    (repository / "a").write_text("2")
    assert revision(repository) == {"commit": commit, "dirty": True}


def test_nothing_is_known_outside_of_a_repository_and_without_git(repository, tmp_path_factory, monkeypatch):
    assert revision(tmp_path_factory.mktemp("plain")) is None
    monkeypatch.setenv("PATH", "")
    assert revision(repository) is None
