"""Blocks that do not move: told with their run and phase once they are still for long, by their own history."""

from __future__ import annotations

import json
import os
import time

import pytest

import planting as p
from campaign.analysis.journal import Journal
from campaign.analysis.status import status
from campaign.analysis.stillness import any_still, still_blocks
from campaign.cli.status import render
from campaign.store.events import EventLog
from campaign.store.layout import Layout
from campaign.store.lease import acquire


@pytest.fixture
def layout(tmp_path):
    return p.plant(tmp_path, p.Planting(n_runs=10))


def begin(layout: Layout, rows: list[int], minutes: float) -> list[str]:
    """A block at work here, which said so many minutes ago what it calls; what is said of it now."""
    with EventLog(layout) as events:
        events.append("block_started", stage="fit", part=0, block=0, worker="here")
    path = layout.hung("fit", 0, 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"rows": rows, "phase": "it ran"}) + "\n")
    then = time.time() - 60 * minutes
    os.utime(path, (then, then))
    journal = Journal.of(layout)
    journal.update()
    return list(still_blocks(layout, journal))


def test_a_block_that_moved_lately_is_not_told(layout):
    assert begin(layout, [1], 2) == []
    assert not any_still(layout)


def test_a_still_block_is_told_with_its_run(layout):
    (text,) = begin(layout, [1], 12)
    assert any_still(layout)
    assert "no step for 12 min in run " in text
    assert "while it ran" in text
    assert "timeout_s" in text
    (text,) = begin(layout, [1, 2], 12)
    assert "in 2 runs, the first" in text
    with acquire(layout):
        found = status(layout)
    assert found.still == (text,)
    assert text in render(found, layout.root)


def test_a_checkpoint_is_a_step(layout):
    layout.checkpoint("fit", 0, 0).parent.mkdir(parents=True, exist_ok=True)
    layout.checkpoint("fit", 0, 0).write_bytes(b"")
    assert begin(layout, [1], 12) == []


def test_long_blocks_may_be_still_for_longer(layout):
    with EventLog(layout) as events:
        place = {"stage": "fit", "part": 0, "block": 1}
        events.append("block_published", **place, n_ok=1, n_failed=0, failures=[], seconds=600.0)
    assert begin(layout, [1], 12) == []
    assert len(begin(layout, [1], 60)) == 1
