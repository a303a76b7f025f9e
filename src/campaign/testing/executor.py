"""What every executor promises, as a pytest class: subclass it, give `executor`, and the tests run.

::

    class TestMyExecutor(ExecutorContract):
        def executor(self):
            return MyExecutor(workers=2)
"""

from __future__ import annotations

import json
import time
from pathlib import Path

from campaign.execute.base import AbstractExecutor, Control
from campaign.manifest.load import load
from campaign.schedule.pending import pending
from campaign.schedule.planning import plan_stage
from campaign.store.claim import claim
from campaign.store.layout import BlockTask, Layout
from campaign.store.plan import write_part
from campaign.store.summaries import read_block

N_RUNS, BLOCK = 14, 4  # the last block is not full


def planned(folder: Path) -> Layout:
    """A campaign of `N_RUNS` fits that is planned and not begun."""
    document = {
        "schema": "campaign/1",
        "name": "contract",
        "problem": {"name": "decay", "n": 20},
        "engine": {"name": "trf"},
        "expand": {"grid": {"problem.data_seed": {"range": [0, N_RUNS, 1]}}},
        "block": BLOCK,
    }
    path = folder / "manifest.json"
    path.write_text(json.dumps(document))
    manifest = load(path)
    layout = Layout(folder / "campaign")
    layout.root.mkdir()
    claim(layout, manifest.name, folder=folder, mode="packed", checkpoint_s=None)
    write_part(layout, plan_stage(manifest, manifest.stages[0]))
    return layout


class ExecutorContract:
    """The promises of `AbstractExecutor`."""

    def executor(self) -> AbstractExecutor:
        raise NotImplementedError

    def states(self, layout: Layout, tasks: list[BlockTask], control: Control | None = None) -> dict[BlockTask, str]:
        """Run blocks: block → state of its receipt; a block that was handed out has one receipt."""
        with self.executor() as executor:
            receipts = list(executor.run(layout.root, iter(tasks), control or Control()))
        found = {receipt.task: receipt.state for receipt in receipts}
        assert len(found) == len(receipts)
        return found

    def test_every_block_is_published_with_one_receipt(self, tmp_path: Path) -> None:
        layout = planned(tmp_path)
        tasks = list(pending(layout, "main"))
        assert len(tasks) == 4
        assert self.states(layout, tasks) == dict.fromkeys(tasks, "published")
        assert not pending(layout, "main")
        rows = [row for task in tasks for row in read_block(layout, task.stage, task.part, task.block)]
        assert [row["row"] for row in rows] == list(range(N_RUNS))
        assert {row["status"] for row in rows} == {"ok"}

    def test_what_is_published_is_left_alone(self, tmp_path: Path) -> None:
        layout = planned(tmp_path)
        tasks = list(pending(layout, "main"))
        self.states(layout, tasks[:2])
        paths = [layout.summaries(task.stage, task.part, task.block) for task in tasks[:2]]
        before = [(path.stat().st_ino, path.read_bytes()) for path in paths]
        found = self.states(layout, tasks)
        assert found == dict.fromkeys(tasks[:2], "already") | dict.fromkeys(tasks[2:], "published")
        assert [(path.stat().st_ino, path.read_bytes()) for path in paths] == before

    def test_nothing_is_done_when_it_drains_or_is_too_late(self, tmp_path: Path) -> None:
        layout = planned(tmp_path)
        tasks = list(pending(layout, "main"))
        draining = Control()
        draining.drain.set()
        for control in (draining, Control(deadline=time.time() - 1.0)):
            assert set(self.states(layout, tasks, control).values()) <= {"interrupted"}
        assert list(pending(layout, "main")) == tasks

    def test_no_blocks_no_receipts(self, tmp_path: Path) -> None:
        assert self.states(planned(tmp_path), []) == {}
