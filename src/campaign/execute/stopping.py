"""When a worker stops: a request on disk, a signal from the scheduler, or the end of its time."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from dataclasses import dataclass, field
from datetime import datetime

from campaign.execute.base import Control, Flag
from campaign.store.layout import Layout

LOOK_S = 1.0  # between two looks at the file system
END_TIME = "CAMPAIGN_END_TIME"  # environment of a worker: when its job ends [s of the epoch]
MARGIN_S = 20.0  # before the end of a job: for the checkpoint, and a slow file system
TIME_IS_UP = "the worker's time is up"

_signalled = Flag()


@dataclass(slots=True, kw_only=True)
class WorkerControl(Control):
    """The control of a block in a worker process.

    A block asks between chunks of steps. What passes between two questions cannot be interrupted, so a block (or its
    next chunk) that would take as long as the last one and does not end in time is not begun.

    Attributes:
        layout: campaign whose `lock/stop.json` counts.
        stretch_s: what passed between the last two questions; at first, in the block before.
    """

    layout: Layout
    stretch_s: float = 0.0
    asked_at: float | None = None
    looked_at: float = field(default=-LOOK_S)
    is_asked: bool = False

    def must_stop(self) -> bool:
        """Whether to stop at the next chunk of steps; looks at the disk at most once in `LOOK_S`."""
        now = time.monotonic()
        if self.asked_at is not None:
            self.stretch_s = now - self.asked_at
        self.asked_at = now
        if _signalled.is_set() or Control.must_stop(self) or self.is_late():
            return True
        if now - self.looked_at >= LOOK_S:
            self.looked_at = now
            self.is_asked = self.layout.stop.exists()
        return self.is_asked

    def is_late(self) -> bool:
        """Whether another stretch like the last one would not end in time."""
        return self.deadline is not None and time.time() + self.stretch_s >= self.deadline

    def why(self) -> str:
        """One phrase for a receipt."""
        if _signalled.is_set():
            return "the worker was stopped by a signal"
        return TIME_IS_UP if self.is_late() else "draining"


def worker_control(layout: Layout, deadline: float | None = None, stretch_s: float = 0.0) -> WorkerControl:
    """The control of this worker: `deadline` [s of the epoch] or the end of its job, whichever comes first."""
    times = [t for t in (deadline, job_deadline()) if t is not None]
    return WorkerControl(layout=layout, deadline=min(times, default=None), stretch_s=stretch_s)


def job_deadline() -> float | None:
    """When this process must have left [s of the epoch], from its environment; None where nothing says so."""
    try:
        return float(os.environ[END_TIME]) - MARGIN_S
    except (KeyError, ValueError):
        return None


def note_end_time() -> None:
    """Ask SLURM, once, when this job ends, and keep it in the environment for this process and its children."""
    job = os.environ.get("SLURM_JOB_ID")
    if job is None or END_TIME in os.environ:
        return
    try:
        done = subprocess.run(["squeue", "-h", "-j", job, "-o", "%e"], capture_output=True, text=True, timeout=20)
        end = datetime.fromisoformat(done.stdout.split()[0])
    except (OSError, ValueError, IndexError, subprocess.TimeoutExpired):
        return  # no limit, or nobody to ask: signals still come
    os.environ[END_TIME] = f"{end.timestamp():.0f}"


def stop_on_signals(*signals: int) -> None:
    """From now on these signals mean "stop at the next chunk". Called once, in the main thread of a worker process."""
    for number in signals or (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, lambda *_: _signalled.set())


def leave() -> None:
    """This worker has no time for another block: as if its job had sent the signal."""
    _signalled.set()


def is_signalled() -> bool:
    """Whether such a signal has come."""
    return _signalled.is_set()
