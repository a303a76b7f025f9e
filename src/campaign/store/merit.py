"""Which of several runs that ended ok is the better one."""

from __future__ import annotations

from typing import Any

import numpy as np

DEGENERATE = "degenerate"  # the outcome of a run whose result is none of the stated model: its loss is another model's


def merit(outcome: str, loss: float) -> tuple[bool, float]:
    """A key that sorts the better first: runs of the stated model before degenerate ones, then by loss."""
    return outcome == DEGENERATE, loss


def by_merit(outcomes: Any, losses: Any) -> np.ndarray:
    """Indices of runs by `merit`, those of equal merit in their order."""
    return np.lexsort((np.asarray(losses, np.float64), np.asarray(outcomes, object) == DEGENERATE))
