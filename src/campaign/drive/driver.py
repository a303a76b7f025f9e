"""One driver's life: stage by stage, plan → execute → reduce → next stage's starts."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from campaign.drive.next_part import planned
from campaign.drive.publish import publish_defaults
from campaign.drive.retry import retry_due, split_lost
from campaign.errors import Incomplete, PolicyStop
from campaign.execute.base import Control, Receipt
from campaign.execute.stopping import job_deadline, note_end_time
from campaign.manifest.retry import FAILURES
from campaign.schedule.pending import block_sizes, pending
from campaign.store import plan as plans
from campaign.store.events import EventLog
from campaign.store.layout import BlockTask, Layout
from campaign.store.lease import Lease
from campaign.store.stop import CANCEL, DRAIN, PAUSE, StopRequest, clear_stop, request_stop, stop_requested

if TYPE_CHECKING:
    from campaign.execute.base import AbstractExecutor
    from campaign.manifest.model import Execution, Manifest, Stage

_REDUCE_EVERY_S = 20.0
DRAINS = "the driver drains"  # the word on disk of a driver that was told so by a signal


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What a watcher sees while a stage runs."""

    stage: str
    n_runs: int
    n_done: int
    n_failed: int
    n_blocks: int
    n_blocks_done: int
    seconds: float
    n_done_before: int
    phase: str = "running"

    @property
    def rate(self) -> float:
        """Runs per second since this driver began the stage."""
        return (self.n_done - self.n_done_before) / self.seconds if self.seconds > 0 else 0.0

    @property
    def eta_s(self) -> float | None:
        """Seconds left at this rate; None before anything is known."""
        return (self.n_runs - self.n_done) / self.rate if self.rate > 0 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class StageReport:
    """How a stage stands after a driver leaves it."""

    stage: str
    n_runs: int
    n_new: int
    n_removed: int
    n_ok: int
    n_failed: int
    n_pending: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What `submit` and `resume` give back.

    Attributes:
        state: "done", "failed" (finished, some runs failed), "stopped" (failure policy), "paused", "incomplete".
        reason: why, when not done.
    """

    directory: Path
    name: str
    state: str
    stages: tuple[StageReport, ...]
    seconds: float
    reason: str = ""

    @property
    def exit_code(self) -> int:
        return {"done": 0, "failed": 4, "stopped": PolicyStop.exit_code}.get(self.state, Incomplete.exit_code)


OnProgress = Callable[[Progress], None]


@dataclass(slots=True)
class _Driver:
    """What one driver keeps in mind."""

    layout: Layout
    manifest: Manifest
    execution: Execution
    control: Control
    events: EventLog
    on_progress: OnProgress | None
    plans_made: dict[str, plans.PlanPart]
    started: float = field(default_factory=time.monotonic)
    reports: list[StageReport] = field(default_factory=list)
    reason: str = ""
    is_stopped: bool = False
    paused: StopRequest | None = None
    reduced_at: float = field(default_factory=time.monotonic)
    reduce_s: float = 0.0


def drive(
    layout: Layout,
    manifest: Manifest,
    execution: Execution,
    lease: Lease,
    control: Control,
    on_progress: OnProgress | None,
    plans_made: dict[str, plans.PlanPart] | None = None,
) -> Report:
    """Run all stages. `plans_made` are plan parts that were made just now, by stage."""
    note_end_time()
    control.deadline = control.deadline or job_deadline()
    with EventLog(layout) as events, _watching(layout, lease, control):
        driver = _Driver(layout, manifest, execution, control, events, on_progress, plans_made or {})
        events.append("driver_started", executor=execution.executor, workers=execution.workers, durable=True)
        reason = "failed"
        try:
            with contextlib.ExitStack() as stack:
                executor = _Lazy(stack, execution)
                for stage in manifest.stages:
                    if not _run_stage(driver, stage, executor):
                        driver.paused = _pause(layout)
                        break
            reason = driver.reason = driver.reason if driver.paused is None else f"paused by {driver.paused.by}"
            reason = reason or "finished"
        except BaseException as error:
            reason = f"{type(error).__name__}: {error}".rstrip(": ")[:300]
            raise
        finally:
            if driver.paused is None:
                clear_stop(layout)
            events.append("driver_stopped", reason=reason)
    return _report(driver)


def _pause(layout: Layout) -> StopRequest | None:
    """The word to pause, which stands until somebody resumes."""
    request = stop_requested(layout)
    return request if request is not None and request.mode == PAUSE else None


class _Lazy:
    """The executor, entered when the first block is there to run."""

    def __init__(self, stack: contextlib.ExitStack, execution: Execution) -> None:
        self._stack, self._execution, self._entered = stack, execution, None

    def get(self) -> AbstractExecutor:
        if self._entered is None:
            from campaign.execute.catalogue import make_executor

            self._entered = self._stack.enter_context(make_executor(self._execution))
        return self._entered


def _run_stage(driver: _Driver, stage: Stage, executor: _Lazy) -> bool:
    """Plan, run and reduce one stage. False: the campaign cannot go on to the next."""
    layout, control = driver.layout, driver.control
    header = _plan_stage(driver, stage)
    driver.events.append("stage_started", stage=stage.name, n_runs=header["n_runs"])
    tasks = pending(layout, stage.name)
    sizes = block_sizes(layout, stage.name)
    state = _StageState(stage.name, header["n_runs"], header["n_runs"] - sum(sizes[t] for t in tasks), len(tasks))
    state.show(driver)
    while True:
        is_idle = not tasks or control.must_stop()
        lost = [] if is_idle else _run_blocks(driver, state, executor, tasks, sizes)
        lost = _give_up_single_runs(driver, state, lost, sizes)
        state.show(driver, phase="reducing")
        _reduce(driver)
        left = pending(layout, stage.name)
        if control.must_stop():
            break
        again: dict[str, int] = {}
        if not split_lost(layout, stage.name, [receipt.task for receipt in lost], driver.events):
            again = {} if left else retry_due(layout, stage, driver.events)
            if not again:
                break
        tasks, sizes = pending(layout, stage.name), block_sizes(layout, stage.name)
        state.begin_again(sum(again.values()), sum(n for kind, n in again.items() if kind in FAILURES), len(tasks))
    n_ok, n_failed = _status_counts(layout, stage.name)
    driver.reports.append(
        StageReport(
            stage=stage.name,
            n_runs=header["n_runs"],
            n_new=header["n_new"],
            n_removed=header["n_removed"],
            n_ok=n_ok,
            n_failed=n_failed,
            n_pending=header["n_runs"] - n_ok - n_failed,
            seconds=time.monotonic() - state.started,
        )
    )
    state.show(driver, phase="done")
    if left:
        driver.reason = driver.reason or (lost[0].message if lost else _why_stopped(driver))
        return False
    driver.events.append("stage_finished", stage=stage.name)
    if stage.publish == "defaults":
        publish_defaults(layout, stage.name)
    return not driver.is_stopped


def _why_stopped(driver: _Driver) -> str:
    """In words, what kept the driver from finishing."""
    control, asked = driver.control, stop_requested(driver.layout)
    if control.deadline is not None and time.time() >= control.deadline:
        return "the time of the driver's job is up"
    if asked is not None and asked.reason != DRAINS:
        return f"{'cancelled' if asked.mode == CANCEL else 'drained'} by {asked.by}"
    return "interrupted" if control.must_stop() else "stopped before the end"


def _run_blocks(
    driver: _Driver, state: _StageState, executor: _Lazy, tasks: Sequence[BlockTask], sizes: dict[BlockTask, int]
) -> list[Receipt]:
    """Hand blocks out until none is left or the driver stops. Returns the receipts of blocks that were given up."""
    from campaign.reduce.ahead import ReadAhead

    lost: list[Receipt] = []
    with ReadAhead(driver.layout, state.stage) as ahead:
        for receipt in executor.get().run(driver.layout.root, iter(tasks), driver.control):
            state.count(receipt, sizes)
            if receipt.state == "lost":
                lost.append(receipt)
                driver.events.append("block_lost", **_place(receipt.task), reason=receipt.message)
            elif receipt.state == "published":
                ahead.note(receipt.task.part, receipt.task.block)
            state.show(driver)
            _check_policy(driver, state)
            _reduce_now_and_then(driver)
    return lost


def _give_up_single_runs(
    driver: _Driver, state: _StageState, lost: Sequence[Receipt], sizes: dict[BlockTask, int]
) -> list[Receipt]:
    """Publish that runs are lost whose blocks held nothing else. Returns the other blocks' receipts."""
    from campaign.work.lost import publish_lost

    for receipt in lost:
        if sizes[receipt.task] == 1:
            state.count(publish_lost(driver.layout, receipt.task, receipt.message, driver.events), sizes)
    _check_policy(driver, state)
    return [receipt for receipt in lost if sizes[receipt.task] > 1]


def _plan_stage(driver: _Driver, stage: Stage) -> dict[str, Any]:
    """Plan a stage against what is planned already; writes a new part only when something changed."""
    layout = driver.layout
    number = plans.latest_part(layout, stage.name)
    part = driver.plans_made.pop(stage.name, None) or planned(layout, driver.manifest, stage)
    if number is not None and part.header["n_new"] == 0 and part.header["n_removed"] == 0:
        return plans.read_header(layout, stage.name, number) | {"n_new": 0}
    plans.write_part(layout, part)
    driver.events.append(
        "submitted",
        manifest_sha256=driver.manifest.sha256,
        stages={stage.name: {k: part.header[k] for k in ("part", "n_runs", "n_new", "n_removed")}},
        durable=True,
    )
    return dict(part.header)


def _place(task: BlockTask) -> dict[str, Any]:
    return {"stage": task.stage, "part": task.part, "block": task.block}


@dataclass(slots=True)
class _StageState:
    """Counts of a stage while it runs."""

    stage: str
    n_runs: int
    n_done: int
    n_blocks: int
    n_blocks_done: int = 0
    n_failed: int = 0
    started: float = field(default_factory=time.monotonic)
    n_done_before: int = -1

    def __post_init__(self) -> None:
        self.n_done_before = self.n_done

    def count(self, receipt: Receipt, sizes: dict[BlockTask, int]) -> None:
        if receipt.state in ("published", "already"):
            self.n_done += sizes[receipt.task]
            self.n_blocks_done += 1
            self.n_failed += receipt.n_failed

    def begin_again(self, n_runs: int, n_failed: int, n_blocks: int) -> None:
        """So many runs, of which so many had failed, are tried again in so many blocks."""
        self.n_done -= n_runs
        self.n_failed = max(0, self.n_failed - n_failed)
        self.n_blocks += n_blocks

    def show(self, driver: _Driver, phase: str = "running") -> None:
        if driver.on_progress is not None:
            driver.on_progress(
                Progress(
                    stage=self.stage,
                    n_runs=self.n_runs,
                    n_done=self.n_done,
                    n_failed=self.n_failed,
                    n_blocks=self.n_blocks,
                    n_blocks_done=self.n_blocks_done,
                    seconds=time.monotonic() - self.started,
                    n_done_before=self.n_done_before,
                    phase=phase,
                )
            )


def _check_policy(driver: _Driver, state: _StageState) -> None:
    """Drain when more runs have failed than the manifest allows."""
    limit = driver.execution.max_failures
    if limit is None or driver.is_stopped:
        return
    allowed = limit * state.n_runs if isinstance(limit, float) and limit < 1 else limit
    if state.n_failed > allowed:
        driver.is_stopped = True
        driver.reason = f"{state.n_failed} runs of stage `{state.stage}` failed, more than max_failures {limit}"
        driver.control.drain.set()


def _reduce(driver: _Driver) -> None:
    from campaign.reduce.reducer import reduce

    started = time.monotonic()
    report = reduce(driver.layout)
    driver.reduce_s = time.monotonic() - started
    driver.reduced_at = time.monotonic()
    driver.events.append("reduced", n_rows=report.n_rows)


def _reduce_now_and_then(driver: _Driver) -> None:
    """A table that people can use while the campaign runs, at a small part of its time."""
    if time.monotonic() - driver.reduced_at > max(_REDUCE_EVERY_S, 20 * driver.reduce_s):
        _reduce(driver)


def _status_counts(layout: Layout, stage: str) -> tuple[int, int]:
    """(ok, failed) runs of a stage, from the table."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    table = pq.read_table(layout.table, columns=["stage", "status"], filters=[("stage", "=", stage)])
    n_ok, n_failed = (pc.sum(pc.equal(table["status"], s)).as_py() or 0 for s in ("ok", "failed"))
    return n_ok, n_failed


@contextlib.contextmanager
def _watching(layout: Layout, lease: Lease, control: Control) -> Iterator[None]:
    """Look every second for a request to drain or cancel, and for the loss of the lease."""
    done = threading.Event()

    def watch() -> None:
        while not done.wait(1.0):
            request = stop_requested(layout)
            if request is not None:
                control.drain.set()
            elif control.drain.is_set() and not control.cancel.is_set():
                request_stop(layout, DRAIN, DRAINS)  # workers elsewhere look at the disk
            if (request is not None and request.mode == CANCEL) or not lease.is_held():
                control.cancel.set()

    thread = threading.Thread(target=watch, name="campaign-watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(timeout=2.0)


def _report(driver: _Driver) -> Report:
    reports = driver.reports
    n_pending = sum(r.n_pending for r in reports)
    n_failed = sum(r.n_failed for r in reports)
    planned = {r.stage for r in reports}
    is_complete = n_pending == 0 and planned == {s.name for s in driver.manifest.stages}
    if driver.is_stopped:
        state = "stopped"
    elif not is_complete:
        state = "incomplete" if driver.paused is None else "paused"
    else:
        state = "failed" if n_failed else "done"
    return Report(
        directory=driver.layout.root,
        name=driver.manifest.name,
        state=state,
        stages=tuple(reports),
        seconds=time.monotonic() - driver.started,
        reason=driver.reason,
    )
