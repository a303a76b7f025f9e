"""Layer 4: an alarm when the gradient of the physics vanishes beside that of the scaling. No JAX.

ratio = ‖g_physics‖ / ‖g_scaling‖ with each component over the norm of its column of J: in errors, so that the unit of a
parameter does not matter. The document takes raw components, whose ratio changes with the unit of D0.

Where the scaling is eliminated (engine `varpro`) its gradient is 0 at every step and there is nothing to watch: the
alarm then never sounds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from campaign.science import InvalidValue

Response = Literal["warn", "hierarchical", "reset", "abort"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """Counts steps below the threshold.

    Attributes:
        threshold: ratio below which a step counts.
        triggers: steps in a row that make an alarm.
        count: steps in a row so far. sounded: the alarm has been raised; it is raised once.
    """

    threshold: float = 0.01
    triggers: int = 5
    count: int = 0
    sounded: bool = False

    def __post_init__(self) -> None:
        if not self.threshold > 0 or self.triggers < 1:
            raise InvalidValue(f"threshold {self.threshold}, triggers {self.triggers}", hint="above 0, at least 1")

    def after(self, ratio: float) -> tuple[Watch, bool]:
        """The watch after a step, and whether the alarm sounds now."""
        count = self.count + 1 if ratio < self.threshold else 0
        now = count >= self.triggers and not self.sounded
        return Watch(threshold=self.threshold, triggers=self.triggers, count=count, sounded=self.sounded or now), now


def gradient_ratio(
    residuals: Float[np.ndarray, " n"], jacobian: Float[np.ndarray, "n p"], is_physical: np.ndarray
) -> float:
    """The ratio of the two groups at one place; infinite where the scaling is at its optimum.

    Checked: tests/unit/xpcs/judge/test_xpcs_collapse.py: the same when a parameter changes its unit.
    """
    norms = np.linalg.norm(jacobian, axis=0)
    scaled = (jacobian.T @ residuals) / np.where(norms > 0, norms, 1.0)
    physical, scaling = np.linalg.norm(scaled[is_physical]), np.linalg.norm(scaled[~is_physical])
    return float(physical / scaling) if scaling > 0 else float("inf")


def first_alarm(ratios: Float[np.ndarray, " steps"], watch: Watch) -> int | None:
    """The step, from 0, at which the alarm sounds; None where it never does."""
    for step, ratio in enumerate(np.asarray(ratios)):
        watch, now = watch.after(float(ratio))
        if now:
            return step
    return None
