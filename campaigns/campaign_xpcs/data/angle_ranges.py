"""Which angles are fitted: ranges in degrees, which may pass through ±180."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from campaign.science import InvalidValue


@dataclass(frozen=True, slots=True, kw_only=True)
class AngleRange:
    """Angles from `low` up to `high` [degree], going up; where high < low, through 180 = −180.

    −170 … 170 is nearly the whole circle, 170 … −170 a sector of 20 degrees. A width of 360 or more is the circle.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        if not np.isfinite([self.low, self.high]).all():
            raise InvalidValue(f"an angle range is {self.low} to {self.high}", hint="two numbers of degrees")

    @property
    def width(self) -> float:
        """Degrees that it covers, at most 360."""
        given = self.high - self.low
        return min(given, 360.0) if given >= 0 else given % 360.0

    def holds(self, phi_deg: Float[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
        """Which angles are inside, with the ends.

        Checked: tests/unit/xpcs/data/test_angle_ranges.py against points on the circle.
        """
        above = np.mod(np.asarray(phi_deg, np.float64) - self.low, 360.0)
        above = np.where(above >= 360.0 - 1e-9, 0.0, above)  # an end that rounding has moved
        return above <= self.width + 1e-9


def chosen_angles(
    phi_deg: Float[np.ndarray, " n"], ranges: tuple[AngleRange, ...], *, all_if_none: bool = False
) -> tuple[Bool[np.ndarray, " n"], str]:
    """Which angles are in any of the ranges, and what was done, in words.

    Raises:
        InvalidValue: no angle is, and `all_if_none` is False.
    """
    phi = np.asarray(phi_deg, np.float64)
    if not ranges:
        return np.ones(phi.shape, bool), "all angles: no range is given"
    inside = np.any([one.holds(phi) for one in ranges], axis=0)
    spelt = ", ".join(f"{one.low:g} … {one.high:g}" for one in ranges)
    if inside.any():
        return inside, f"{int(inside.sum())} of {len(phi)} angles in {spelt}"
    if all_if_none:
        return np.ones(phi.shape, bool), f"all {len(phi)} angles: none is in {spelt}, and fallback_to_all_angles is set"
    shown = ", ".join(f"{angle:g}" for angle in phi[:12])
    raise InvalidValue(f"none of the angles {shown} is in {spelt}", hint="widen phi_filtering.target_ranges")
