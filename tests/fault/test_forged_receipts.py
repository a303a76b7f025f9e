"""A receipt is a hint; the truth is on disk. Forged ones change nothing but a number on the screen."""

from __future__ import annotations

import pytest

from campaign.execute.base import AbstractExecutor, Control, Receipt
from campaign.execute.mpi.pool import MpiExecutor
from running import TWO_STAGES, write_manifest
from synthetic_blocks import tasks


class Forger(AbstractExecutor):
    """Says that everything is done, and does nothing."""

    name = "forger"

    def run(self, directory, tasks, control):
        for task in tasks:
            yield Receipt(task=task, state="published", n_ok=10**6)


def test_a_campaign_whose_receipts_are_forged_is_incomplete(tmp_path, monkeypatch):
    from campaign.drive import doors as orchestrate

    monkeypatch.setattr("campaign.execute.catalogue.make_executor", lambda execution: Forger())
    report = orchestrate.submit(write_manifest(tmp_path, TWO_STAGES), tmp_path / "c")
    assert report.state == "incomplete"
    assert report.exit_code == 7
    assert [stage.n_ok for stage in report.stages] == [0]
    assert report.stages[0].n_pending == 16 * 16


@pytest.mark.mpi
def test_what_a_block_prints_is_no_receipt(mpi, tmp_path):
    with MpiExecutor(workers=1, device="cpu", work="synthetic_blocks:forge") as running:
        receipts = list(running.run(tmp_path, tasks("forged", 3), Control()))
    assert [(r.task.block, r.state, r.n_ok) for r in receipts] == [(i, "published", 1) for i in range(3)]
