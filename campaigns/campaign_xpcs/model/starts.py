"""Starts of the physics: a Latin hypercube, logarithmic where a parameter spans decades, and the best of their fits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from campaign.science import Fit, Problem, fits

DECADES = 20.0  # upper over lower bound from which a positive parameter is sampled in its logarithm
SINGULAR = {"beta": 0.05, "alpha": 0.05}  # |exponent| that starts keep from 0, where amplitude and offset are one
NARROWED = {"D_offset": 0.02, "gamma_dot_t_offset": 0.05}  # part of the bounds that offsets are sampled in, around 0


def sampled_starts(problem: Problem, n: int, seed: int) -> list[dict[str, float]]:
    """Starts of the free parameters that are not eliminated.

    Amplitudes are uniform in their logarithm, offsets near 0, exponents nowhere near 0: β = 0 with a free offset is
    exactly singular.

    Checked: tests/unit/xpcs/model/test_xpcs_starts.py.
    """
    from scipy.stats import qmc

    names = nonlinear_names(problem)
    cube = qmc.LatinHypercube(d=len(names), seed=seed).random(n)
    return [{name: _placed(problem, name, float(x)) for name, x in zip(names, row, strict=True)} for row in cube]


def nonlinear_names(problem: Problem) -> tuple[str, ...]:
    """Free parameters that the engine does not eliminate."""
    linear = {name for group in problem.linear() for name in group}
    return tuple(name for name in problem.space.free_names if name not in linear)


def _placed(problem: Problem, name: str, x: float) -> float:
    own = problem.space[name]
    lower, upper = own.lower, own.upper
    if lower > 0 and upper > DECADES * lower:
        return float(np.exp(np.log(lower) + x * np.log(upper / lower)))
    if name in NARROWED and lower < 0 < upper:
        lower, upper = NARROWED[name] * lower, NARROWED[name] * upper
    value = lower + x * (upper - lower)
    least = SINGULAR.get(name, 0.0)
    if abs(value) < least:
        value = least if value >= 0 else -least
    return float(min(max(value, own.lower), own.upper))


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """Fits from several starts, best first; those that failed are left out."""

    fits: tuple[Fit, ...]
    n_starts: int

    @property
    def best(self) -> dict[str, float] | None:
        return dict(self.fits[0].theta) if self.fits else None

    def reached(self, tolerance: float = 1e-6) -> int:
        """How many came to the best loss."""
        if not self.fits:
            return 0
        least = self.fits[0].loss
        return sum(one.loss <= least * (1.0 + tolerance) + tolerance for one in self.fits)


def tried(
    problem: Problem, engine: str, starts: Sequence[dict[str, float]], options: dict[str, Any] | None = None
) -> Tried:
    """Fit from each start, all in one program."""
    found = fits(problem, engine, starts, engine_options=options or {})
    good = sorted((one for one in found if one.status == "ok" and np.isfinite(one.loss)), key=lambda one: one.loss)
    return Tried(fits=tuple(good), n_starts=len(starts))
