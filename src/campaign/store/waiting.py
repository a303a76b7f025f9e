"""Campaigns without a plan: their driver waits in the queue, could not start, or is making the plan."""

from __future__ import annotations

from pathlib import Path

from campaign.errors import Incomplete
from campaign.store.layout import Layout
from campaign.store.lease import holder
from campaign.store.records import read_json


def not_begun(layout: Layout) -> Incomplete | None:
    """What to say of a directory without a plan: its driver's job and the last words of it; None without such a job."""
    job = _last_job(layout)
    if job is None:
        return None
    what, again = (
        f"{layout.root} has not begun: its driver is job {job}",
        f"`campaign submit MANIFEST -d {layout.root}`",
    )
    if queued_job(layout) is None:
        tail = log_tail(layout.log(f"driver-{job}"))
        return Incomplete(f"{what}, whose log ends with\n{tail}", hint=f"fix the cause, then {again}")
    return Incomplete(
        f"{what}, and has no log yet",
        hint=f"`squeue -j {job}` says why it waits; when it is gone, {again} starts again",
    )


def being_planned(layout: Layout) -> Incomplete | None:
    """What to say of a directory without a plan that a driver has begun; None where none has."""
    driver = holder(layout)
    if driver is not None and not driver.is_stale:
        wait = f"`campaign watch {layout.root}` waits for it"
        return Incomplete(f"{layout.root} is being planned, by {driver}", hint=wait)
    if not layout.identity.exists():
        return None
    again = f"`campaign submit MANIFEST -d {layout.root}` begins again"
    return Incomplete(f"{layout.root} has no plan: its driver ended before it was made", hint=again)


def queued_job(layout: Layout) -> str | None:
    """The job of a detached driver that has written nothing yet."""
    job = _last_job(layout)
    return None if job is None or layout.log(f"driver-{job}").exists() else job


def _last_job(layout: Layout) -> str | None:
    try:
        record = read_json(layout.driver_job)
        return str(record["job"] or record["name"])
    except FileNotFoundError:
        return None


def log_tail(path: Path, n_lines: int = 12) -> str:
    """Last lines of a job's log, for an error message."""
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        return f"  (no log at {path})"
    return "\n".join(f"  | {line}" for line in lines[-n_lines:]) or f"  ({path} is empty)"
