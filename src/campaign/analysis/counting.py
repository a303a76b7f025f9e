"""How many runs of a stage are done, failed and left: from plan columns, one directory listing and the journals."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from campaign.analysis.journal import Journal
from campaign.reduce.planned import PlannedStage
from campaign.store import plan
from campaign.store.failures import failed_records, failure_signatures
from campaign.store.layout import BlockTask, Layout
from campaign.store.owner import is_writer_surely_dead
from campaign.store.summaries import published


@dataclass(frozen=True, slots=True, kw_only=True)
class StageStatus:
    """Counts of one stage; runs unless said otherwise. n_runs = n_ok + n_failed + n_pending."""

    name: str
    n_runs: int
    n_ok: int
    n_failed: int
    n_pending: int
    n_removed: int
    n_blocks: int
    n_blocks_done: int
    n_blocks_running: int

    @property
    def n_done(self) -> int:
        return self.n_ok + self.n_failed


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Failed runs that have their outcome and message (but for digits) in common, with one of them."""

    stage: str
    signature: str
    message: str
    run_id: str
    n: int


class Counter:
    """Counts again and again: the second time costs what has changed. Not shared between threads."""

    def __init__(self, layout: Layout, journal: Journal) -> None:
        self._layout = layout
        self._journal = journal
        self._rows_of: dict[tuple[str, int], dict[BlockTask, int]] = {}
        self._failed: dict[BlockTask, tuple[int, list[dict[str, Any]]]] = {}

    def count(self, stage: PlannedStage) -> tuple[StageStatus, list[Failure]]:
        """Counts of a stage, and its failures by kind, as the journal knows them now."""
        rows_of = self._block_rows(stage)
        done = {BlockTask(stage.name, *address) for address in published(self._layout, stage.name)}
        whole: list[dict[str, Any]] = []
        partly: list[BlockTask] = []
        n_failed = 0
        for task in sorted(rows_of.keys() & done):
            event = self._journal.published.get(task)
            if event is None or (event["n_failed"] and event["n_ok"] + event["n_failed"] != rows_of[task]):
                partly.append(task)  # no event, or runs of it were removed or retried: which ones failed?
            else:
                n_failed += event["n_failed"]
                whole += event["failures"]
        records = self._failed_in_plan(stage, partly)
        whole += failure_signatures(records)
        n_failed += len(records)
        n_done = sum(rows_of[task] for task in rows_of.keys() & done)
        n_runs = sum(rows_of.values())
        running = [
            task
            for task, writer in self._journal.open_blocks()
            if task.stage == stage.name and task not in done and not is_writer_surely_dead(writer)
        ]
        counts = StageStatus(
            name=stage.name,
            n_runs=n_runs,
            n_ok=n_done - n_failed,
            n_failed=n_failed,
            n_pending=n_runs - n_done,
            n_removed=int(stage.header.get("n_removed") or 0),
            n_blocks=len(rows_of),
            n_blocks_done=len(rows_of.keys() & done),
            n_blocks_running=len(running),
        )
        return counts, _grouped(stage.name, whole)

    def _block_rows(self, stage: PlannedStage) -> dict[BlockTask, int]:
        """Rows of the latest plan in each block; read once a plan, since plans are never edited."""
        key = (stage.name, stage.part)
        if key not in self._rows_of:
            table = plan.read_rows(self._layout, stage.name, stage.part, columns=["part", "block"])
            part, block = (table.column(c).to_numpy() for c in ("part", "block"))
            self._rows_of[key] = {
                BlockTask(stage.name, number, at): n
                for number in np.flatnonzero(np.bincount(part)).tolist()
                for at, n in enumerate(np.bincount(block[part == number]).tolist())
                if n
            }
        return self._rows_of[key]

    def _failed_in_plan(self, stage: PlannedStage, tasks: Iterable[BlockTask]) -> list[dict[str, Any]]:
        """Failed records of some published blocks, without those of runs that the plan has removed or moved on."""
        records: dict[tuple[str, int, int], dict[str, Any]] = {}
        for task in sorted(tasks):
            for record in self._failed_records(task):
                records[record["run_id"], task.part, task.block] = record
        if not records:
            return []
        wanted = pa.array(sorted({run_id for run_id, _, _ in records}), pa.string())
        table = plan.read_rows(self._layout, stage.name, stage.part, columns=["run_id", "part", "block"])
        rows = table.filter(pc.is_in(table.column("run_id"), value_set=wanted)).to_pylist()
        return [records[key] for row in rows if (key := (row["run_id"], row["part"], row["block"])) in records]

    def _failed_records(self, task: BlockTask) -> list[dict[str, Any]]:
        """A block's failed records; its file is read once, and again when it has been published again."""
        try:
            stamp = self._layout.summaries(task.stage, task.part, task.block).stat().st_mtime_ns
            if self._failed.get(task, (0, []))[0] != stamp:
                self._failed[task] = (stamp, failed_records(self._layout, task.stage, task.part, task.block))
        except FileNotFoundError:
            return []
        return self._failed[task][1]


def _grouped(stage: str, failures: Iterable[dict[str, Any]]) -> list[Failure]:
    groups: dict[str, dict[str, Any]] = {}
    for failure in failures:
        groups.setdefault(failure["signature"], failure | {"n": 0})["n"] += failure["n"]
    return [
        Failure(stage=stage, signature=s, message=str(g["message"] or ""), run_id=g["run_id"], n=g["n"])
        for s, g in groups.items()
    ]
