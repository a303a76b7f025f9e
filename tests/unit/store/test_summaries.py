"""The packed file of a block is the last word: what it promises is there before it."""

from __future__ import annotations

from pathlib import Path

import pytest

from campaign.store import summaries
from campaign.store.layout import Layout
from campaign.store.records import dumps


@pytest.fixture
def block() -> tuple[list[bytes], list[dict]]:
    ids = [f"{i:032x}" for i in range(3)]
    return [dumps({"run_id": run_id, "status": "ok"}).rstrip() for run_id in ids], [{"run_id": i} for i in ids]


def test_run_folders_are_there_when_the_packed_file_is_published(tmp_path: Path, block, monkeypatch) -> None:
    layout, (lines, metas) = Layout(tmp_path), block
    seen: list[bool] = []
    real = summaries.publish_bytes

    def publish(path: Path, data: bytes) -> None:
        seen.extend(layout.summary(m["run_id"]).exists() and layout.meta(m["run_id"]).exists() for m in metas)
        real(path, data)

    monkeypatch.setattr(summaries, "publish_bytes", publish)
    summaries.publish_block(layout, "fit", 0, 0, lines, metas)
    assert seen == [True] * 3
    assert summaries.published(layout, "fit") == {(0, 0)}


def test_a_block_whose_folders_cannot_be_published_is_not_done(tmp_path: Path, block, monkeypatch) -> None:
    layout, (lines, metas) = Layout(tmp_path), block

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(summaries, "publish_many", full)
    with pytest.raises(OSError, match="No space left"):
        summaries.publish_block(layout, "fit", 0, 0, lines, metas)
    assert summaries.published(layout, "fit") == set()
