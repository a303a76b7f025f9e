"""The address of a block in, a receipt out: what is published already is not touched."""

from __future__ import annotations

from campaign.store.layout import BlockTask, Layout
from campaign.work import run_block as running
from campaign.work.jax_runtime import worker_name
from campaign.work.run_block import run_block
from planting import Planting, plant, publish

FIT = Planting(n_runs=2)


def test_a_published_block_is_not_run_again(tmp_path):
    layout = plant(tmp_path, FIT)
    publish(layout, FIT)
    before = {path: path.read_bytes() for path in layout.root.rglob("*") if path.is_file()}
    receipt = run_block(tmp_path, BlockTask("fit", 0, 0))
    assert (receipt.state, receipt.worker) == ("already", worker_name())
    assert {path: path.read_bytes() for path in layout.root.rglob("*") if path.is_file()} == before


def test_a_process_has_one_journal_a_campaign_and_a_forked_child_its_own(tmp_path, monkeypatch):
    one, other = Layout(tmp_path / "1"), Layout(tmp_path / "2")
    mine = running._journal(one)
    assert running._journal(Layout(tmp_path / "1")) is mine
    assert running._journal(other) is not mine
    monkeypatch.setattr(running.os, "getpid", lambda: 4194305)
    assert running._journal(one) is not mine
