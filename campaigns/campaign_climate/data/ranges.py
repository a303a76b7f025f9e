"""Assessed ranges as distributions of one number. No JAX.

A range of 5, 50 and 95 % becomes the split normal distribution that has exactly these quantiles:

    p(x) ∝ exp(−½ ((x − m)/s)²),   s = s₁ below the mode m, s₂ above it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np

from campaign.science import InvalidValue, UnknownName, nearest


@dataclass(frozen=True, slots=True)
class SplitNormal:
    """A normal distribution with a width for each side of its mode.

    Checked: tests/unit/climate/data/test_climate_ranges.py: quantiles against scipy quadrature.
    """

    mode: float
    below: float
    above: float

    def __post_init__(self) -> None:
        if not (self.below > 0 and self.above > 0 and math.isfinite(self.mode + self.below + self.above)):
            raise InvalidValue(f"a split normal needs two widths above 0, not {self.below} and {self.above}")

    @classmethod
    def from_quantiles(cls, p05: float, p50: float, p95: float) -> SplitNormal:
        """The one with these quantiles.

        Raises:
            InvalidValue: they do not rise, or are more skewed than a split normal can be (a ratio of the two sides
                beyond 2.4).
        """
        return _from_quantiles(float(p05), float(p50), float(p95))

    def quantile(self, q: float) -> float:
        """Inverse of the cumulative distribution."""
        from scipy.special import ndtri

        lower = self.below / (self.below + self.above)
        if q <= lower:
            return self.mode + self.below * float(ndtri(0.5 * q / lower))
        return self.mode + self.above * float(ndtri(0.5 + 0.5 * (q - lower) / (1.0 - lower)))

    def residual(self, x):
        """(x − m)/s with the width of its side; −½ of its square is the log density up to a constant."""
        ahead = x - self.mode
        is_above = ahead > 0
        return ahead / (is_above * self.above + (1 - is_above) * self.below)

    def log_density(self, x):
        """Normalised log density."""
        return -0.5 * self.residual(x) ** 2 - math.log(math.sqrt(math.pi / 2) * (self.below + self.above))


@cache
def _from_quantiles(p05: float, p50: float, p95: float) -> SplitNormal:
    from scipy.optimize import brentq

    if not p05 < p50 < p95:
        raise InvalidValue(f"the quantiles {p05}, {p50}, {p95} do not rise")
    wanted = (p95 - p50) / (p50 - p05)

    def skew(log_ratio: float) -> float:
        unit = SplitNormal(0.0, 1.0, math.exp(log_ratio))
        low, mid, high = (unit.quantile(q) for q in (0.05, 0.5, 0.95))
        return math.log((high - mid) / (mid - low) / wanted)

    reach = 12.0
    if not skew(-reach) < 0 < skew(reach):
        raise InvalidValue(
            f"the quantiles {p05}, {p50}, {p95} are more skewed than a split normal can be",
            hint="give another distribution, for example a log-normal",
        )
    ratio = 1.0 if wanted == 1.0 else math.exp(float(np.asarray(brentq(skew, -reach, reach, xtol=1e-14))))
    unit = SplitNormal(0.0, 1.0, ratio)
    scale = (p95 - p05) / (unit.quantile(0.95) - unit.quantile(0.05))
    return SplitNormal(p50 - scale * unit.quantile(0.5), scale, scale * ratio)


RANGES = {
    "ar6:ecs": ("ECS", (2.0, 3.0, 5.0)),
    "ar6:tcr": ("TCR", (1.2, 1.8, 2.4)),
    "ar6:aerosol": ("Aerosol Forcing", (-2.0, -1.3, -0.6)),
}  # 5, 50, 95 %: IPCC AR6 WGI, sec. 7.5.5 (ECS, TCR [K]) and 7.3.3 (aerosols, 2005-2014 against 1750 [W m⁻²])


def assessed(name: str) -> tuple[str, SplitNormal]:
    """(what the model calls it, its distribution) of an assessed range.

    Raises:
        UnknownName: there is none of that name.
    """
    if name not in RANGES:
        raise UnknownName(f"unknown assessed range `{name}`", hint=nearest(name, RANGES))
    quantity, quantiles = RANGES[name]
    return quantity, SplitNormal.from_quantiles(*quantiles)
