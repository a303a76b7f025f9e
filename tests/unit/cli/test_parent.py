"""Which commands run as the child of a parent: those that may call people's own code."""

from __future__ import annotations

import json

import pytest

from campaign.cli import parent
from campaign.errors import InvalidValue


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_manifest_with_a_problem_file_needs_one(folder):
    own, plain = folder / "own.json", folder / "plain.json"
    own.write_text(json.dumps({"problem": {"name": "mine.py:Model"}}))
    plain.write_text(json.dumps({"problem": {"name": "decay"}}))
    assert parent.is_needed(["submit", str(own), "-d", "out"])
    assert not parent.is_needed(["submit", str(plain), "-d", "out"])
    assert parent.is_needed(["submit", str(plain), "--set", "problem.name=mine.py:Model"])
    assert parent.is_needed(["problems", "mine.py:Model"])
    assert not parent.is_needed(["submit", str(own), "--help"])
    assert not parent.is_needed(["submit", "missing.json"])


def test_so_does_a_campaign_directory_named_or_not(folder, monkeypatch):
    (folder / "c").mkdir()
    (folder / "c" / "manifest.json").write_text('{"problem": {"name": "mine.py:Model"}}')
    assert parent.is_needed(["resume", "c"])
    assert not parent.is_needed(["resume"])
    monkeypatch.chdir(folder / "c")
    assert parent.is_needed(["resume"])


def test_ranks_of_an_mpi_world_have_none(folder, monkeypatch):
    monkeypatch.setenv("PMI_RANK", "0")
    monkeypatch.setenv("PMI_SIZE", "4")
    assert not parent.is_needed(["problems", "mine.py:Model"])


def test_the_message_names_file_phase_and_kind(folder):
    entry = {"phase": "imported", "what": "mine.py", "limit_s": 300.0}
    error = parent._at_fault(entry, None, "ended by SIGKILL", None)
    assert isinstance(error, InvalidValue)
    assert error.exit_code == 3
    assert error.message == "`mine.py` ended the command while it was imported: ended by SIGKILL; nothing was written"
