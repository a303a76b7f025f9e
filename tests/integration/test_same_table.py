"""The same campaign under every local executor, with any number of workers, gives the same table bit by bit."""

from __future__ import annotations

from pathlib import Path

import pytest

from running import TWO_STAGES, assert_same, campaign, table, write_manifest


@pytest.fixture(scope="module")
def inline(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("inline")
    done = campaign("submit", write_manifest(folder, TWO_STAGES), "-d", folder / "c", "--executor", "inline")
    assert done.returncode == 0, done.stderr
    return folder / "c"


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_dask_equals_inline(tmp_path: Path, inline: Path, workers: int) -> None:
    manifest = write_manifest(tmp_path, TWO_STAGES)
    done = campaign("submit", manifest, "-d", tmp_path / "c", "--executor", "dask", "--workers", workers)
    assert done.returncode == 0, done.stderr
    assert_same(table(tmp_path / "c"), table(inline))


def test_auto_equals_inline(tmp_path: Path, inline: Path) -> None:
    done = campaign("submit", write_manifest(tmp_path, TWO_STAGES), "-d", tmp_path / "c")
    assert done.returncode == 0, done.stderr
    assert_same(table(tmp_path / "c"), table(inline))


def test_a_packed_campaign_has_the_same_table(tmp_path: Path, inline: Path) -> None:
    document = TWO_STAGES | {"execution": {"layout": "packed"}}
    done = campaign("submit", write_manifest(tmp_path, document), "-d", tmp_path / "c", "--executor", "inline")
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "c" / "runs").exists()
    assert_same(table(tmp_path / "c"), table(inline))
