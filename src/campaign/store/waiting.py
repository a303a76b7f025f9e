"""A campaign whose first driver is a job that has not begun: it waits in the queue, or could not start."""

from __future__ import annotations

from pathlib import Path

from campaign.errors import Incomplete
from campaign.store.layout import Layout
from campaign.store.records import read_json


def not_begun(layout: Layout) -> Incomplete | None:
    """What to say of a directory without a plan: its driver's job and the last words of it; None without such a job."""
    try:
        job = read_json(layout.driver_job)["job"]
    except FileNotFoundError:
        return None
    what, log = f"{layout.root} has not begun: its driver is job {job}", layout.log(f"driver-{job}")
    again = f"`campaign submit MANIFEST -d {layout.root}`"
    if log.exists() and log.stat().st_size:
        return Incomplete(f"{what}, whose log ends with\n{log_tail(log)}", hint=f"mend the cause, then {again}")
    return Incomplete(
        f"{what}, and has no log yet",
        hint=f"`squeue -j {job}` says why it waits; when it is gone, {again} begins anew",
    )


def log_tail(path: Path, n_lines: int = 12) -> str:
    """Last lines of a job's log, for an error message."""
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        return f"  (no log at {path})"
    return "\n".join(f"  | {line}" for line in lines[-n_lines:]) or f"  ({path} is empty)"
