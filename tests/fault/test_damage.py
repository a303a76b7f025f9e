"""Damage on disk: found and named by `verify`, done again by `resume`, and the table is the same as before."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from running import TWO_STAGES, assert_same, campaign, table, write_manifest

SMALL = TWO_STAGES | {"stages": [TWO_STAGES["stages"][0]]}


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    done = campaign("submit", write_manifest(folder, SMALL), "-d", folder / "c", "--executor", "inline")
    assert done.returncode == 0, done.stderr
    return folder / "c"


@pytest.fixture
def copy(tmp_path: Path, finished: Path) -> Path:
    shutil.copytree(finished, tmp_path / "c")
    return tmp_path / "c"


def truncate(directory: Path) -> str:
    path = sorted(directory.glob("summaries/fit/*.jsonl"))[3]
    path.write_bytes(path.read_bytes()[:-40])
    return path.name


def lose_a_chunk(directory: Path) -> str:
    path = sorted(directory.glob("traces.zarr/fit/*/loss/c/*/*"))[2]
    path.unlink()
    return "loss"


def lose_a_summary(directory: Path) -> str:
    path = sorted(directory.glob("summaries/fit/*.jsonl"))[5]
    path.unlink()
    return path.name


def not_json(directory: Path) -> str:
    path = sorted(directory.glob("summaries/fit/*.jsonl"))[1]
    lines = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join([lines[0], b"{ this is no JSON", *lines[2:]]) + b"\n")
    return path.name


@pytest.mark.parametrize("harm", [truncate, lose_a_chunk, lose_a_summary, not_json])
def test_damage_is_named_and_done_again(copy: Path, finished: Path, harm) -> None:
    name = harm(copy)
    found = campaign("verify", copy, "--json")
    assert found.returncode == 9
    assert name in found.stdout
    done = campaign("resume", copy, "--executor", "inline")
    assert done.returncode == 0, done.stderr
    assert_same(table(copy), table(finished))
    assert campaign("verify", copy).returncode == 0


def test_a_foreign_file_is_named_and_left(copy: Path) -> None:
    (copy / "summaries" / "fit" / "notes.txt").write_text("mine")
    found = campaign("verify", copy, "--json")
    assert found.returncode == 9
    assert "notes.txt" in found.stdout
    json.loads(found.stdout)


def test_an_undamaged_campaign_has_no_findings(copy: Path) -> None:
    assert campaign("verify", copy).returncode == 0
