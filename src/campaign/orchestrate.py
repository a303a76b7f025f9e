"""Stage by stage: plan → execute → reduce → next stage's starts. The only place where both wings meet."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from campaign.errors import CampaignError, Incomplete, InvalidValue, PolicyStop
from campaign.execute.base import Control, Receipt
from campaign.execute.ranks import part_ways
from campaign.execute.stopping import job_deadline, note_end_time
from campaign.manifest.load import load, loads
from campaign.schedule.pending import block_sizes, pending
from campaign.store import plan as plans
from campaign.store.claim import (
    DIRECTORIES_UP_TO,
    check_directory,
    claim,
    make_root,
    read_identity,
    record_manifest,
)
from campaign.store.events import EventLog
from campaign.store.layout import BlockTask, Layout
from campaign.store.lease import Lease, acquire
from campaign.store.stop import CANCEL, DRAIN, clear_stop, stop_requested
from campaign.store.stop import request_stop as leave_word
from campaign.store.summaries import DIRECTORIES, PACKED

if TYPE_CHECKING:
    import pyarrow as pa

    from campaign.execute.base import AbstractExecutor
    from campaign.execute.estimate import Cost
    from campaign.manifest.model import Execution, Manifest, Stage

_REDUCE_EVERY_S = 20.0


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
        state: "done", "failed" (finished, some runs failed), "stopped" (failure policy), "incomplete".
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
        return {"done": 0, "failed": 4, "stopped": PolicyStop.exit_code, "incomplete": Incomplete.exit_code}[self.state]


OnProgress = Callable[[Progress], None]


def submit(
    manifest_path: str | Path,
    directory: str | Path | None = None,
    *,
    executor: str | None = None,
    workers: int | None = None,
    profile: str | None = None,
    on_progress: OnProgress | None = None,
    control: Control | None = None,
) -> Report:
    """Run what a manifest asks for and is not done yet.

    Args:
        manifest_path: the JSON.
        directory: of the campaign; ``results/<name>`` when None.
        executor, workers, profile: override the manifest's `execution`; they change no run.
        on_progress: called a few times a second at most.
        control: set its events to drain or cancel.

    Raises:
        ManifestError: every finding at once.
        UsageError: the directory belongs to somebody else.
        Locked: another driver is at work on it.
        Unavailable: the executor cannot start, or the disk cannot be written.
    """
    path = Path(manifest_path)
    manifest = load(path)
    root = Path(directory) if directory is not None else Path("results") / manifest.name
    check_directory(root, manifest.name)
    execution = _execution(manifest, executor, workers, profile)
    first = {stage.name: planned(Layout(root), manifest, stage) for stage in manifest.stages if not _follows(stage)}
    make_root(root)
    layout = Layout(root.resolve())
    control = control or Control()
    with acquire(layout) as lease:
        mode = _layout_mode(execution, sum(part.header["n_runs"] for part in first.values()))
        claim(layout, manifest.name, folder=manifest.folder, mode=mode, checkpoint_s=execution.checkpoint_s)
        record_manifest(layout, path.read_bytes())
        return _drive(layout, manifest, execution, lease, control, on_progress, first)


def resume(
    directory: str | Path,
    *,
    executor: str | None = None,
    workers: int | None = None,
    profile: str | None = None,
    on_progress: OnProgress | None = None,
    control: Control | None = None,
) -> Report:
    """Go on with a campaign where its directory says it stands. See `submit`."""
    layout = Layout(Path(directory).resolve())
    identity = read_identity(layout)
    manifest = _stored_manifest(layout, identity.folder)
    execution = _execution(manifest, executor, workers, profile)
    part_ways(execution.executor)
    control = control or Control()
    with acquire(layout) as lease:
        return _drive(layout, manifest, execution, lease, control, on_progress)


def _stored_manifest(layout: Layout, folder: str) -> Manifest:
    return loads(layout.manifest.read_bytes(), folder=folder, source=str(layout.manifest))


def _execution(manifest: Manifest, executor: str | None, workers: int | None, profile: str | None) -> Execution:
    execution = manifest.execution_for(profile)
    changes = {k: v for k, v in {"executor": executor, "workers": workers}.items() if v is not None}
    return execution.model_copy(update=changes)


def _layout_mode(execution: Execution, n_runs: int) -> str:
    if execution.layout != "auto":
        return execution.layout
    return DIRECTORIES if n_runs <= DIRECTORIES_UP_TO else PACKED


def _follows(stage: Stage) -> bool:
    """Whether a stage needs the results of another one before it can be planned."""
    return stage.start.source not in (None, "defaults")


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
    reduced_at: float = field(default_factory=time.monotonic)
    reduce_s: float = 0.0


def _drive(
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
                        break
            reason = driver.reason or "finished"
        except BaseException as error:
            reason = f"{type(error).__name__}: {error}"[:300]
            raise
        finally:
            events.append("driver_stopped", reason=reason)
    return _report(driver, lease)


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
    lost: list[Receipt] = []
    if tasks and not control.must_stop():
        for receipt in executor.get().run(layout.root, iter(tasks), control):
            state.count(receipt, sizes)
            if receipt.state == "lost":
                lost.append(receipt)
                driver.events.append("block_lost", **_place(receipt.task), reason=receipt.message)
            state.show(driver)
            _check_policy(driver, state)
            _reduce_now_and_then(driver)
    state.show(driver, phase="reducing")
    _reduce(driver)
    left = pending(layout, stage.name)
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
        driver.reason = driver.reason or (lost[0].message if lost else "stopped before the end")
        return False
    driver.events.append("stage_finished", stage=stage.name)
    if stage.publish == "defaults":
        _publish_defaults(driver, stage)
    return not driver.is_stopped


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


def planned(layout: Layout, manifest: Manifest, stage: Stage) -> plans.PlanPart:
    """The next plan part of a stage, from the manifest and what the directory holds. Writes nothing."""
    from campaign.schedule.planning import plan_stage

    source, starts, source_part = stage.start.source, None, None
    if _follows(stage):
        number = plans.latest_part(layout, source)
        if number is None:
            raise Incomplete(f"stage `{stage.name}` starts from `{source}`, which has no plan yet")
        source_part, starts = plans.read_part(layout, source, number), _starts(layout, source)
    return plan_stage(
        manifest,
        stage,
        previous=plans.previous(layout, stage.name),
        starts=starts,
        source=source_part,
        load_defaults=_load_defaults,
    )


def _load_defaults(model: str) -> Any:
    from campaign.store.defaults import load_defaults

    return load_defaults(model)


def _starts(layout: Layout, source: str) -> pa.Table:
    """Summary rows of the stage that another one starts from."""
    import pyarrow.parquet as pq

    return pq.read_table(layout.table, filters=[("stage", "=", source)])


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
    return tuple(pc.sum(pc.equal(table["status"], s)).as_py() or 0 for s in ("ok", "failed"))


@contextlib.contextmanager
def _watching(layout: Layout, lease: Lease, control: Control) -> Iterator[None]:
    """Look every second for a request to drain or cancel, and for the loss of the lease."""
    done = threading.Event()
    clear_stop(layout)

    def watch() -> None:
        while not done.wait(1.0):
            request = stop_requested(layout)
            if request is not None:
                control.drain.set()
            elif control.drain.is_set() and not control.cancel.is_set():
                leave_word(layout, DRAIN, "the driver drains")  # workers elsewhere look at the disk
            if (request is not None and request.mode == CANCEL) or not lease.is_held():
                control.cancel.set()

    thread = threading.Thread(target=watch, name="campaign-watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(timeout=2.0)
        clear_stop(layout)


def _publish_defaults(driver: _Driver, stage: Stage) -> None:
    from campaign.publish import publish_defaults

    publish_defaults(driver.layout, stage)


def _report(driver: _Driver, lease: Lease) -> Report:
    reports: Sequence[StageReport] = driver.reports
    n_pending = sum(r.n_pending for r in reports)
    n_failed = sum(r.n_failed for r in reports)
    planned = {r.stage for r in reports}
    is_complete = n_pending == 0 and planned == {s.name for s in driver.manifest.stages}
    if driver.is_stopped:
        state = "stopped"
    elif not is_complete:
        state = "incomplete"
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


@dataclass(frozen=True, slots=True, kw_only=True)
class StagePlan:
    """What a submission would do with one stage.

    Attributes:
        n_points: points of the expansion, before excluding.
        n_runs: distinct runs; `n_new` are not planned yet, `n_done` are published, `n_removed` are in the directory
            and no longer in the manifest.
        programs: name → runs, blocks and block size of what is compiled for the new runs.
        waits_for: the stage whose results decide the starts: counts are exact, run ids are made later.
        cost: files and bytes of the new runs; None where they are not known yet.
    """

    stage: str
    n_points: int
    n_excluded: int
    n_duplicates: int
    n_runs: int
    n_new: int
    n_done: int
    n_removed: int
    n_blocks: int
    programs: dict[str, dict[str, int]]
    warnings: tuple[str, ...]
    waits_for: str | None
    cost: Cost | None


def plan(manifest_path: str | Path, directory: str | Path | None = None) -> tuple[StagePlan, ...]:
    """Say exactly what `submit` would do. Changes nothing.

    Raises:
        ManifestError, UsageError: as `submit` does.
    """
    manifest = load(Path(manifest_path))
    root = Path(directory) if directory is not None else Path("results") / manifest.name
    identity = check_directory(root, manifest.name)
    layout = Layout(root.resolve())
    parts: dict[str, plans.PlanPart] = {}
    found: list[StagePlan] = []
    n_first = 0
    for stage in manifest.stages:
        source = stage.start.source
        if _follows(stage) and not _is_complete(layout, source):
            found.append(_waiting(manifest, stage, parts))
            continue
        part = parts[stage.name] = planned(layout, manifest, stage)
        n_first += part.header["n_runs"]
        mode = identity.layout if identity else _layout_mode(manifest.execution, n_first)
        found.append(_stage_plan(layout, manifest, stage, part, mode))
    return tuple(found)


def _is_complete(layout: Layout, stage: str) -> bool:
    return plans.latest_part(layout, stage) is not None and not pending(layout, stage) and layout.table.exists()


def _waiting(manifest: Manifest, stage: Stage, parts: dict[str, plans.PlanPart]) -> StagePlan:
    """Counts of a stage whose source has not run."""
    from campaign.schedule.planning import count_stage

    source = parts.get(stage.start.source or "")
    n = count_stage(manifest, stage, source) if source is not None else 0
    return StagePlan(
        stage=stage.name,
        n_points=n,
        n_excluded=0,
        n_duplicates=0,
        n_runs=n,
        n_new=n,
        n_done=0,
        n_removed=0,
        n_blocks=0,
        programs={},
        warnings=stage.warnings,
        waits_for=stage.start.source,
        cost=None,
    )


def _stage_plan(layout: Layout, manifest: Manifest, stage: Stage, part: plans.PlanPart, mode: str) -> StagePlan:
    from campaign.execute.estimate import cost_of
    from campaign.store.summaries import published

    header = part.header
    rows = part.rows.select(["part", "block"]).to_pandas()
    done = published(layout, stage.name)
    kept = rows[rows["part"] < part.part]
    n_done = sum(len(own) for key, own in kept.groupby(["part", "block"]) if key in done) if len(kept) else 0
    keys = ("n_rows", "n_blocks", "block_size")
    return StagePlan(
        stage=stage.name,
        n_points=header["n_points"],
        n_excluded=header["n_excluded"],
        n_duplicates=header["n_duplicates"],
        n_runs=header["n_runs"],
        n_new=header["n_new"],
        n_done=n_done,
        n_removed=header["n_removed"],
        n_blocks=sum(p["n_blocks"] for p in header["programs"].values()),
        programs={name: {k: entry[k] for k in keys} for name, entry in header["programs"].items()},
        warnings=tuple(header["warnings"]),
        waits_for=None,
        cost=cost_of(part, manifest.folder, has_folders=mode == DIRECTORIES),
    )


def retry(directory: str | Path, run_ids: Sequence[str]) -> int:
    """Plan failed runs once more: new rows in new blocks, attempt + 1. `resume` runs them.

    Args:
        directory: of the campaign.
        run_ids: failed runs; all failed ones when empty.

    Returns:
        How many runs were planned.
    """
    import pyarrow.parquet as pq

    from campaign.schedule.pending import replan_failed

    layout = Layout(Path(directory).resolve())
    read_identity(layout)
    if not layout.table.exists():
        raise InvalidValue(f"{layout.root} has no table yet", hint="run `campaign reduce` first")
    with acquire(layout), EventLog(layout) as events:
        table = pq.read_table(layout.table, columns=["run_id", "stage", "status"]).to_pandas()
        failed = table[table["status"] == "failed"]
        chosen = failed if not run_ids else failed[failed["run_id"].isin(run_ids)]
        for stage, rows in chosen.groupby("stage"):
            part = replan_failed(layout, stage, list(rows["run_id"]))
            plans.write_part(layout, part)
            events.append("retried", stage=stage, n_runs=len(rows), durable=True)
    return len(chosen)


def request_stop(directory: str | Path, *, now: bool) -> None:
    """Ask the driver of a campaign, wherever it runs, to drain or (`now`) to cancel.

    Raises:
        CampaignError: no driver is at work.
    """
    from campaign.store.lease import holder

    layout = Layout(Path(directory).resolve())
    read_identity(layout)
    if holder(layout) is None:
        raise CampaignError("no driver is at work on this campaign", hint="nothing to cancel; see `campaign status`")
    leave_word(layout, CANCEL if now else DRAIN, "asked by a person")


