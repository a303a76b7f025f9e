"""One stage in a driver's life: plan it, hand out its blocks, reduce, retry, report."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from campaign.drive.diagnosing import diagnose_due
from campaign.drive.next_part import planned
from campaign.drive.preflight import is_wanted, preflight
from campaign.drive.publish import publish_defaults
from campaign.drive.report import OnProgress, Progress, StageReport
from campaign.drive.retry import retry_due, split_lost
from campaign.drive.revision import revision
from campaign.drive.watching import why_stopped
from campaign.execute.base import Control, Receipt
from campaign.manifest.model import UNLIMITED
from campaign.manifest.retry import FAILURES
from campaign.registry import PROBLEMS, load
from campaign.schedule.keeping import placed
from campaign.schedule.pending import block_sizes, pending
from campaign.store import plan as plans
from campaign.store.events import EventLog
from campaign.store.layout import BlockTask, Layout
from campaign.store.stop import StopRequest

if TYPE_CHECKING:
    from campaign.execute.base import AbstractExecutor
    from campaign.manifest.model import Execution, Manifest, Stage

_REDUCE_EVERY_S = 20.0
FEWEST_ENDED, USUAL_SHARE = (
    200,
    0.5,
)  # a problem in a file: when so many have ended, stop if more have failed
USUAL_LIMIT = (
    'more than half of at least 200, which stops a problem in a file; "max_failures": "unlimited" under `execution` '
    "lifts the limit"
)


@dataclass(slots=True)
class Driver:
    """What one driver keeps in mind from stage to stage."""

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


class LazyExecutor:
    """The executor, entered when the first block is there to run."""

    def __init__(self, stack: contextlib.ExitStack, execution: Execution) -> None:
        self._stack, self._execution, self._entered = stack, execution, None

    def get(self) -> AbstractExecutor:
        if self._entered is None:
            from campaign.execute.catalogue import make_executor

            self._entered = self._stack.enter_context(make_executor(self._execution))
        return self._entered


@dataclass(slots=True)
class StageState:
    """Counts of a stage while it runs."""

    stage: str
    n_runs: int
    n_done: int
    n_blocks: int
    n_blocks_done: int = 0
    n_failed: int = 0
    is_own_code: bool = False
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

    def show(self, driver: Driver, phase: str = "running") -> None:
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


def run_stage(driver: Driver, stage: Stage, executor: LazyExecutor) -> bool:
    """Plan, run and reduce one stage. False: the campaign cannot go on to the next."""
    layout, control = driver.layout, driver.control
    header = _plan_stage(driver, stage)
    driver.events.append("stage_started", stage=stage.name, n_runs=header["n_runs"])
    tasks = pending(layout, stage.name)
    sizes = block_sizes(layout, stage.name)
    state = StageState(
        stage.name,
        header["n_runs"],
        header["n_runs"] - sum(sizes[t] for t in tasks),
        len(tasks),
        is_own_code=any(map(_has_own_code, plans.programs(layout, stage.name).values())),
    )
    state.show(driver)
    if state.is_own_code and not control.must_stop() and is_wanted(driver.execution, sum(sizes[t] for t in tasks)):
        reason = preflight(layout, tasks, sizes, control, driver.events)
        if reason is not None:
            _stop(driver, reason)
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
            if not left:
                again = retry_due(layout, stage, driver.events) or diagnose_due(layout, stage, driver.events)
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
            warnings=tuple(header.get("warnings", ())),
        )
    )
    state.show(driver, phase="done")
    if left:
        driver.reason = driver.reason or (lost[0].message if lost else why_stopped(layout, control))
        return False
    driver.events.append("stage_finished", stage=stage.name)
    if stage.publish == "defaults":
        publish_defaults(layout, stage.name)
    return not driver.is_stopped


def _give_up_single_runs(
    driver: Driver, state: StageState, lost: Sequence[Receipt], sizes: dict[BlockTask, int]
) -> list[Receipt]:
    """Publish that runs are lost whose blocks held nothing else. Returns the other blocks' receipts."""
    from campaign.work.lost import publish_lost

    for receipt in lost:
        if sizes[receipt.task] == 1:
            state.count(publish_lost(driver.layout, receipt.task, receipt.message, driver.events), sizes)
    _check_policy(driver, state)
    return [receipt for receipt in lost if sizes[receipt.task] > 1]


def _has_own_code(program: Mapping[str, Any]) -> bool:
    """Whether a program's problem is in a file of the user's, or runs a program or a server of the user's."""
    return program.get("module") is not None or load(PROBLEMS, program["problem"]["name"]).runs_own_code


def _plan_stage(driver: Driver, stage: Stage) -> dict[str, Any]:
    """Plan a stage against what is planned already; writes a new part only when something changed."""
    layout = driver.layout
    number = plans.latest_part(layout, stage.name)
    part = driver.plans_made.pop(stage.name, None) or planned(layout, driver.manifest, stage)
    if number is not None and part.header["n_new"] == 0 and part.header["n_removed"] == 0:
        return plans.read_header(layout, stage.name, number) | {"n_new": 0}
    plans.write_part(layout, placed(part, layout, driver.manifest.kept))
    driver.events.append(
        "submitted",
        manifest_sha256=driver.manifest.sha256,
        stages={stage.name: {k: part.header[k] for k in ("part", "n_runs", "n_new", "n_removed")}},
        git=revision(driver.manifest.folder),
        durable=True,
    )
    return dict(part.header)


def _run_blocks(
    driver: Driver, state: StageState, executor: LazyExecutor, tasks: Sequence[BlockTask], sizes: dict[BlockTask, int]
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


def _place(task: BlockTask) -> dict[str, Any]:
    return {"stage": task.stage, "part": task.part, "block": task.block}


def _check_policy(driver: Driver, state: StageState) -> None:
    """Drain when more runs have failed than the manifest allows; of people's own code, when most of them fail."""
    limit, n_failed = driver.execution.max_failures, state.n_failed
    if driver.is_stopped or limit == UNLIMITED:
        return
    if limit is None:
        n_ended = state.n_done - state.n_done_before
        if state.is_own_code and n_ended >= FEWEST_ENDED and n_failed > USUAL_SHARE * n_ended:
            _stop(driver, f"{n_failed} of {n_ended} runs of stage `{state.stage}` failed: {USUAL_LIMIT}")
    elif n_failed > (limit * state.n_runs if limit < 1 else limit):
        _stop(driver, f"{n_failed:,} runs of stage `{state.stage}` failed, more than max_failures {limit:,.12g}")


def _stop(driver: Driver, reason: str) -> None:
    driver.is_stopped, driver.reason = True, reason
    driver.control.drain.set()


def _reduce(driver: Driver) -> None:
    from campaign.reduce.reducer import reduce

    started = time.monotonic()
    report = reduce(driver.layout)
    driver.reduce_s = time.monotonic() - started
    driver.reduced_at = time.monotonic()
    driver.events.append("reduced", n_rows=report.n_rows)


def _reduce_now_and_then(driver: Driver) -> None:
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
