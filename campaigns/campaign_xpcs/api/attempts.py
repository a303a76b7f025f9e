"""Attempts at a fit: what is done after a failure, by name, at most so often. No failure is called a success."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from campaign.science import CampaignError, Fit, InvalidValue

Run = Callable[[Mapping[str, float], Mapping[str, Any]], Fit]  # start, options of the engine → fit
Ladder = Callable[["Attempts"], tuple[str, Mapping[str, float], Mapping[str, Any]] | None]
RETRIED = ("nonfinite", "diverged", "stalled", "error", "degenerate")  # outcomes after which another attempt is made
DAMPING = 1.0  # least damping of a restart: steps begin a thousand times shorter


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One attempt: what was done, and what became of it."""

    action: str
    outcome: str
    loss: float
    message: str

    def as_json(self) -> dict[str, Any]:
        loss = self.loss if np.isfinite(self.loss) else None
        return {"action": self.action, "outcome": self.outcome, "loss": loss, "message": self.message}


@dataclass(kw_only=True)
class Attempts:
    """What was tried so far.

    Attributes:
        start: of the first attempt.
        best: the fit of the lowest finite loss, degenerate ones last; None: there is none.
        history: every attempt.
        refused: steps of the ladder that could not be taken, with the reason.
    """

    start: Mapping[str, float]
    best: Fit | None = None
    best_outcome: str = "error"
    history: list[Attempt] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    @property
    def actions(self) -> list[str]:
        """Names of what was done after the first attempt, and of what was refused."""
        return [*(one.action for one in self.history[1:]), *self.refused]

    @property
    def place(self) -> Mapping[str, float]:
        """The best parameters so far, or the start."""
        return self.start if self.best is None else self.best.theta

    def note(self, action: str, found: Fit | None, outcome: str, message: str) -> None:
        loss = float("nan") if found is None else found.loss
        self.history.append(Attempt(action=action, outcome=outcome, loss=loss, message=message))
        if found is None or not np.isfinite(found.loss):
            return
        if self.best is None or _rank(found, outcome) < _rank(self.best, self.best_outcome):
            self.best, self.best_outcome = found, outcome


def _rank(found: Fit, outcome: str) -> tuple[bool, float, bool]:
    """The better fit is the smaller: one of the stated model before one with a floored D(t), then by loss to 10⁻⁹."""
    return outcome == "degenerate", float(f"{found.loss:.9e}"), outcome != "converged"


def attempted(run: Run, start: Mapping[str, float], ladder: Ladder, most: int) -> Attempts:
    """Fit; after a failure, do what the ladder says, up to `most` attempts in all.

    A wrong value is the caller's mistake and is raised at once. Any other exception is a failed attempt whose text
    stays in the history; when none succeeds, the last one is what the result says.

    Checked: tests/unit/xpcs/api/test_xpcs_attempts.py with injected faults.
    """
    made = Attempts(start=start)
    step: tuple[str, Mapping[str, float], Mapping[str, Any]] | None = ("first", start, {})
    while step is not None:
        action, place, options = step
        outcome = _tried(run, made, action, place, options)
        if outcome not in RETRIED or len(made.history) >= most:
            break
        step = ladder(made)
    return made


def _tried(
    run: Run,
    made: Attempts,
    action: str,
    place: Mapping[str, float],
    options: Mapping[str, Any],
) -> str:
    try:
        found = run(place, options)
    except CampaignError:
        raise
    except (ArithmeticError, MemoryError, RuntimeError) as error:  # XLA's errors are RuntimeErrors
        made.note(action, None, "error", f"{type(error).__name__}: {error}")
        return "error"
    made.note(action, found, found.outcome, found.message or "")
    return found.outcome


def default_ladder(more_starts: Callable[[], Sequence[Mapping[str, float]]]) -> Ladder:
    """damped_restart: from the best place so far with short steps; multistart: from the best of many starts.

    Args:
        more_starts: good places to start from, best first; called when it comes to that.
    """

    def ladder(made: Attempts):
        if len(made.history) == 1:
            return "damped_restart", dict(made.place), {"damping": DAMPING}
        if not any(one.action == "multistart" for one in made.history):
            found = more_starts()
            return ("multistart", dict(found[0]), {}) if found else None
        return None

    return ladder


def document_ladder(bounds: Mapping[str, tuple[float, float]]) -> Ladder:
    """bounds_reset: to the centre of the bounds; geometric_mean_reset: to √(lower · upper), which is refused where a
    bound is not above 0, because there is no such number.

    Args:
        bounds: of the free parameters that are not eliminated.

    Source: the design document, section 10.
    """

    def ladder(made: Attempts):
        if len(made.history) == 1:
            return "bounds_reset", {name: 0.5 * (low + high) for name, (low, high) in bounds.items()}, {}
        if len(made.history) == 2:
            without = [name for name, (low, _) in bounds.items() if not low > 0]
            if not without:
                mean = {name: float(np.sqrt(low * high)) for name, (low, high) in bounds.items()}
                return "geometric_mean_reset", mean, {}
            made.refused.append(f"geometric_mean_reset refused: no bounds above 0: {', '.join(without)}")
        return None

    return ladder


def require_attempts(most: int) -> int:
    if most < 1:
        raise InvalidValue(f"max_recovery_attempts is {most}", hint="at least 1")
    return most
