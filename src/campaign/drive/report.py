"""What a driver says: progress while a stage runs, the state of a stage after it, how the campaign ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from campaign.errors import Incomplete, PolicyStop


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
    """The state of a stage after a driver leaves it."""

    stage: str
    n_runs: int
    n_new: int
    n_removed: int
    n_ok: int
    n_failed: int
    n_pending: int
    seconds: float
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What `submit` and `resume` give back.

    Attributes:
        state: "done", "failed" (finished, some runs failed), "stopped" (failure policy), "paused", "incomplete".
        reason: why, when not done.
        warnings: what a person should know of the submission as a whole.
    """

    directory: Path
    name: str
    state: str
    stages: tuple[StageReport, ...]
    seconds: float
    reason: str = ""
    warnings: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        return {"done": 0, "failed": 4, "stopped": PolicyStop.exit_code}.get(self.state, Incomplete.exit_code)


OnProgress = Callable[[Progress], None]
