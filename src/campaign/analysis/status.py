"""Where a campaign stands, from plan columns, one directory listing a stage, and the journals: never a file a run."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from campaign.analysis.journal import Journal
from campaign.analysis.stillness import still_blocks
from campaign.reduce.planned import PlannedStage, planned_stages
from campaign.store import plan
from campaign.store.failures import failed_records, failure_signatures
from campaign.store.layout import BlockTask, Layout
from campaign.store.lease import Holder, holder
from campaign.store.owner import is_writer_surely_dead
from campaign.store.stop import PAUSE, StopRequest, stop_requested
from campaign.store.summaries import published
from campaign.store.waiting import queued_job

RATE_WINDOW_S = 300.0
ALIVE_S = 120.0


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


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStatus:
    """A process that ran blocks. `last_event_s`: seconds since it last wrote."""

    name: str
    n_runs: int
    n_blocks_running: int
    last_event_s: float
    is_alive: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """Where a campaign stands.

    Attributes:
        state: "not planned", "complete", "running", "waiting" (a driver is alive, nothing runs), "queued" (the next
            driver is a job that has not begun), "paused" or "stopped".
        ended: why, when stopped: what the last driver said.
        rate: runs a second, over the last minutes; None when nothing was published in them.
        eta_s: what is left at that rate [s]; None when nothing is running.
        n_compiles, compile_s: compilations so far, and the time they took [s].
        n_blocks_twice: blocks that were published again: wasted, harmless.
        n_blocks_lost: blocks that came back because their worker was lost.
        retried: kind of ending → runs that were tried again, by themselves or by `campaign retry`.
        failures: most frequent first.
        driver: the lease, or None; `executor`: of the last driver.
        asked: the word to stop that stands, or None.
        hints: next commands.
        still: blocks at work that have not moved for long, in words.
    """

    state: str
    ended: str | None
    stages: tuple[StageStatus, ...]
    rate: float | None
    eta_s: float | None
    n_compiles: int
    compile_s: float
    n_blocks_twice: int
    n_blocks_lost: int
    retried: dict[str, int]
    workers: tuple[WorkerStatus, ...]
    failures: tuple[Failure, ...]
    driver: Holder | None
    executor: str | None
    asked: StopRequest | None
    hints: tuple[str, ...]
    still: tuple[str, ...] = ()

    def total(self, count: str) -> int:
        """Sum of one count, such as "n_runs", over the stages."""
        return sum(getattr(stage, count) for stage in self.stages)

    def to_json(self) -> dict[str, Any]:
        stages = [asdict(stage) | {"n_done": stage.n_done} for stage in self.stages]
        return {"schema": "campaign.status/1"} | asdict(self) | {"stages": stages}


def status(layout: Layout) -> Status:
    """Where the campaign stands now."""
    return Watcher(layout).status()


class Watcher:
    """Asks again and again: the second time costs what has changed. Not shared between threads."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self._journal = Journal.of(layout)
        self._rows_of: dict[tuple[str, int], dict[BlockTask, int]] = {}
        self._failed: dict[BlockTask, tuple[int, list[dict[str, Any]]]] = {}

    def status(self) -> Status:
        self._journal.update()
        planned = planned_stages(self.layout)
        counted = [self._stage(stage) for stage in planned]
        stages = tuple(stage for stage, _ in counted)
        driver, asked = holder(self.layout), stop_requested(self.layout)
        n_pending = sum(stage.n_pending for stage in stages)
        is_running = any(stage.n_blocks_running for stage in stages)
        rate = _rate(self._journal)
        job = queued_job(self.layout)
        state = _state(bool(planned), n_pending, is_running, driver, job, asked)
        failures = tuple(sorted((f for _, found in counted for f in found), key=lambda f: (-f.n, f.signature)))
        return Status(
            state=state,
            ended=_ended(self._journal) if state == "stopped" else None,
            stages=stages,
            rate=rate,
            eta_s=n_pending / rate if rate and n_pending and state == "running" else None,
            n_compiles=self._journal.n_compiles,
            compile_s=self._journal.compile_s,
            n_blocks_twice=self._journal.n_again,
            n_blocks_lost=self._journal.n_lost,
            retried=dict(self._journal.retried),
            workers=_workers(self._journal),
            failures=failures,
            driver=driver,
            executor=(self._journal.driver or {}).get("executor"),
            asked=asked,
            hints=_hints(state, failures, driver, job),
            still=tuple(still_blocks(self.layout, self._journal)) if is_running else (),
        )

    def _stage(self, stage: PlannedStage) -> tuple[StageStatus, list[Failure]]:
        rows_of = self._block_rows(stage)
        done = {BlockTask(stage.name, *address) for address in published(self.layout, stage.name)}
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
            table = plan.read_rows(self.layout, stage.name, stage.part, columns=["part", "block"])
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
        table = plan.read_rows(self.layout, stage.name, stage.part, columns=["run_id", "part", "block"])
        rows = table.filter(pc.is_in(table.column("run_id"), value_set=wanted)).to_pylist()
        return [records[key] for row in rows if (key := (row["run_id"], row["part"], row["block"])) in records]

    def _failed_records(self, task: BlockTask) -> list[dict[str, Any]]:
        """A block's failed records; its file is read once, and again when it has been published again."""
        try:
            stamp = self.layout.summaries(task.stage, task.part, task.block).stat().st_mtime_ns
            if self._failed.get(task, (0, []))[0] != stamp:
                self._failed[task] = (stamp, failed_records(self.layout, task.stage, task.part, task.block))
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


def _now(journal: Journal) -> float:
    """Now, or the last event where another host's clock is ahead."""
    return max(time.time(), *journal.last_seen.values(), 0.0)


def _rate(journal: Journal) -> float | None:
    """Runs a second over the last five minutes, or the last three blocks' time where blocks take longer."""
    now = _now(journal)
    recent = sorted(journal.published.values(), key=lambda event: event["t"])[-5000:]
    if not recent:
        return None
    window = max(RATE_WINDOW_S, 3 * statistics.median(float(e.get("seconds") or 0.0) for e in recent[-50:]))
    recent = [event for event in recent if event["t"] > now - window]
    if not recent:
        return None
    since = min(event["t"] - float(event.get("seconds") or 0.0) for event in recent)
    span = min(window, max(now - since, 1e-3))
    return sum(event["n_ok"] + event["n_failed"] for event in recent) / span


def _workers(journal: Journal) -> tuple[WorkerStatus, ...]:
    now = _now(journal)
    running: dict[str, int] = {}
    for _, writer in journal.open_blocks():
        running[writer] = running.get(writer, 0) + 1
    found = []
    for writer, last in sorted(journal.last_seen.items()):
        is_dead = is_writer_surely_dead(writer)
        n_running = 0 if is_dead else running.get(writer, 0)
        found.append(
            WorkerStatus(
                name=writer,
                n_runs=journal.n_runs_by.get(writer, 0),
                n_blocks_running=n_running,
                last_event_s=now - last,
                is_alive=not is_dead and (n_running > 0 or now - last < ALIVE_S),
            )
        )
    return tuple(found)


def _state(
    is_planned: bool,
    n_pending: int,
    is_running: bool,
    driver: Holder | None,
    job: str | None,
    asked: StopRequest | None,
) -> str:
    if not is_planned:
        return "not planned"
    if n_pending == 0:
        return "complete"
    if is_running:
        return "running"
    if driver is not None and not driver.is_stale:
        return "waiting"
    if job is not None:
        return "queued"
    return "paused" if asked is not None and asked.mode == PAUSE else "stopped"


def _ended(journal: Journal) -> str | None:
    """Why the last driver ended, in its own words; killed ones have none."""
    started, stopped = journal.driver, journal.driver_stopped
    if started is not None and (stopped is None or stopped["t"] < started["t"]):
        return "without a word: the driver was killed, or lost its host"
    return str(stopped.get("reason")) if stopped is not None else None


def _hints(state: str, failures: tuple[Failure, ...], driver: Holder | None, job: str | None) -> tuple[str, ...]:
    hints = []
    if state == "queued":
        hints.append(f"campaign resume    # when `squeue -j {job}` does not know its driver any more")
    if state == "not planned":
        hints.append("campaign submit MANIFEST")
    if state in ("stopped", "paused"):
        hints.append("campaign resume")
    elif driver is not None and driver.is_stale:
        hints.append("campaign resume    # the last driver ended without giving its lease back")
    if failures:
        hints.append(f"campaign show {failures[0].run_id[:8]}")
        if state in ("complete", "stopped", "paused"):
            hints.append("campaign retry")
    if state == "complete":
        hints.append('campaign query "select * from summary order by loss limit 5"')
    return tuple(dict.fromkeys(hints))
