"""Where a campaign stands, from plan columns, one directory listing a stage, and the journals: never a file a run."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from campaign.analysis.counting import Counter, Failure, StageStatus
from campaign.analysis.journal import Journal
from campaign.analysis.stillness import still_blocks
from campaign.errors import CampaignError
from campaign.reduce.planned import planned_stages
from campaign.store.claim import read_identity
from campaign.store.layout import Layout
from campaign.store.lease import Holder, holder
from campaign.store.owner import is_writer_surely_dead
from campaign.store.stop import PAUSE, StopRequest, stop_requested
from campaign.store.waiting import queued_job

RATE_WINDOW_S = 300.0
ALIVE_S = 120.0


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
        rate: runs a second, over the last minutes; None without a driver, or when nothing was published in them.
        eta_s: what is left at that rate [s].
        n_compiles, compile_s: compilations so far, and the time they took [s].
        n_blocks_twice: blocks that were published again: wasted, harmless.
        n_blocks_lost: blocks that came back because their worker was lost.
        retried: kind of ending → runs that were tried again, by themselves or by `campaign retry`.
        failures: most frequent first.
        driver: the lease, or None; `executor`: of the last driver.
        asked: the word to stop that stands, or None.
        hints: next commands.
        ranks_per_block: processes that compute a block: a worker, and the members of its gang.
        still: blocks at work that have not moved for long, in words.
        passes: how far long passes over the rows of a fit are, in words.
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
    ranks_per_block: int
    still: tuple[str, ...] = ()
    passes: tuple[str, ...] = ()

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
        self._counter = Counter(layout, self._journal)

    def status(self) -> Status:
        self._journal.update()
        planned = planned_stages(self.layout)
        counted = [self._counter.count(stage) for stage in planned]
        stages = tuple(stage for stage, _ in counted)
        driver, asked = holder(self.layout), stop_requested(self.layout)
        n_pending = sum(stage.n_pending for stage in stages)
        is_running = any(stage.n_blocks_running for stage in stages)
        job = queued_job(self.layout)
        state = _state(bool(planned), n_pending, is_running, driver, job, asked)
        rate = _rate(self._journal) if state in ("running", "waiting") else None
        failures = tuple(sorted((f for _, found in counted for f in found), key=lambda f: (-f.n, f.signature)))
        return Status(
            state=state,
            ended=_ended(self._journal) if state == "stopped" else None,
            stages=stages,
            rate=rate,
            eta_s=n_pending / rate if rate and n_pending else None,
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
            ranks_per_block=_ranks(self.layout),
            still=tuple(still_blocks(self.layout, self._journal)) if is_running else (),
            passes=tuple(_passes(self._journal)) if is_running else (),
        )


def _passes(journal: Journal) -> Iterator[str]:
    """A sentence for each block at work whose fit is in a long pass, as it was last heard of."""
    for task, _ in journal.open_blocks():
        event = journal.passes.get(task)
        if event is not None and event["t"] > journal.started[task][0]:
            yield (
                f"block {task.block} of stage `{task.stage}`: {event['n_done']} of {event['n']} row blocks of a pass "
                f"({event['kind']}), {max(_now(journal) - event['t'], 0.0):.0f} s ago"
            )


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


def _ranks(layout: Layout) -> int:
    try:
        return read_identity(layout).ranks_per_block
    except CampaignError:  # `verify` says what is wrong with it
        return 1


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
        return "without notice: the driver was killed, or its host failed"
    return str(stopped.get("reason")) if stopped is not None else None


def _hints(state: str, failures: tuple[Failure, ...], driver: Holder | None, job: str | None) -> tuple[str, ...]:
    hints = []
    if state == "queued":
        hints.append(f"campaign resume    # when `squeue -j {job}` no longer lists its driver")
    if state == "not planned":
        hints.append("campaign submit MANIFEST")
    if state in ("stopped", "paused"):
        hints.append("campaign resume")
    elif driver is not None and driver.is_stale:
        hints.append("campaign resume    # the last driver ended without releasing its lease")
    if failures:
        hints.append(f"campaign show {failures[0].run_id[:8]}")
        if state in ("complete", "stopped", "paused"):
            hints.append("campaign retry")
    if state == "complete":
        hints.append('campaign query "select * from summary order by loss limit 5"')
    return tuple(dict.fromkeys(hints))
