"""The window of blocks that are in flight."""

from __future__ import annotations

from concurrent.futures import Future

from campaign.execute.base import Control
from campaign.execute.window import run_window
from campaign.store.layout import BlockTask

TASKS = [BlockTask("fit", 0, i) for i in range(10)]


def test_a_drain_does_not_wait_for_workers_that_have_not_come(tmp_path):
    control, n, futures = Control(), [1], []

    def submit(task):
        futures.append(Future())
        return futures[-1]

    def watch():
        if futures:
            control.drain.set()
            n[0] = 0  # the last worker has gone, or none has come yet

    assert list(run_window(submit, tmp_path, TASKS, control, n_workers=lambda: n[0], watch=watch)) == []
    assert futures
    assert all(future.cancelled() for future in futures)
