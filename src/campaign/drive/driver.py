"""One driver's life, stage by stage: the first one that cannot be finished ends it."""

from __future__ import annotations

import contextlib
import time
from dataclasses import asdict
from hashlib import sha256
from typing import TYPE_CHECKING

from campaign.drive.report import OnProgress, Report
from campaign.drive.stage import Driver, LazyExecutor, run_stage
from campaign.drive.watching import pause_requested, watching
from campaign.execute.base import Control
from campaign.execute.stopping import job_deadline, note_end_time
from campaign.store import plan as plans
from campaign.store.claim import read_identity, set_ranks
from campaign.store.events import EventLog
from campaign.store.layout import Layout
from campaign.store.lease import Lease
from campaign.store.stop import clear_stop
from campaign.touching import driving

if TYPE_CHECKING:
    from campaign.manifest.model import Execution, Manifest


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
    set_ranks(layout, execution.ranks_per_block)
    driven = driving(str(layout.root), execution.executor)
    with EventLog(layout) as events, watching(layout, lease, control), driven:
        driver = Driver(layout, manifest, execution, control, events, on_progress, plans_made or {})
        copy = {"identity": asdict(read_identity(layout)), "manifest": sha256(layout.manifest.read_bytes()).hexdigest()}
        events.append("driver_started", executor=execution.executor, workers=execution.workers, **copy, durable=True)
        reason = "failed"
        try:
            with contextlib.ExitStack() as stack:
                executor = LazyExecutor(stack, execution)
                for stage in manifest.stages:
                    if not run_stage(driver, stage, executor):
                        driver.paused = pause_requested(layout)
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


def _report(driver: Driver) -> Report:
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
