"""What a worker does with a block that it is handed."""

from __future__ import annotations

import time

from campaign.execute.remote import run_remote
from campaign.store.layout import BlockTask
from synthetic_blocks import WORK, executions


def test_a_block_like_one_that_took_too_long_is_not_begun(tmp_path):
    ran = run_remote(str(tmp_path), BlockTask("short", 0, 0), time.time() + 60, WORK)  # takes 0.3 s
    assert ran.state == "published"
    late = run_remote(str(tmp_path), BlockTask("short", 0, 1), time.time() + 0.2, WORK)
    assert (late.state, late.message) == ("interrupted", "the worker's time is up")
    assert executions(tmp_path, "short", 1) == 0
    other = run_remote(str(tmp_path), BlockTask("fine", 0, 1), time.time() + 0.2, WORK)  # of which nothing is known
    assert other.state == "published"
