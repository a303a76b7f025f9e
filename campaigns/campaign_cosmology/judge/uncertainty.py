"""Profile likelihoods, and errors read from them: what to quote where chi2 is not a parabola."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from campaign.science import InvalidValue, nearest
from campaign_cosmology.model.objective import FunctionObjective, ProblemObjective
from campaign_cosmology.model.optimizers import minimize
from campaign_cosmology.model.selection import Selection

FAR = 1e9  # typical changes: where a parameter without bounds is not followed any further


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """chi2 along one parameter, minimised over the others.

    Attributes:
        values, chi2: (n,), in increasing order of the parameter.
        others: the best values of the other free parameters, name → (n,).
        best: the parameter and chi2 at the lowest point of the fit that the profile starts from.
    """

    parameter: str
    values: np.ndarray
    chi2: np.ndarray
    others: dict[str, np.ndarray]
    best: tuple[float, float]

    @property
    def delta_chi2(self) -> np.ndarray:
        return self.chi2 - self.best[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileError:
    """Where chi2 rises by `level` on either side; None on a side where a bound comes first."""

    parameter: str
    best: float
    lower: float | None
    upper: float | None
    level: float


def _objective(selection: Selection, name: str) -> ProblemObjective | FunctionObjective:
    if name not in selection.free:
        raise InvalidValue(f"`{name}` is not free in this fit", hint=nearest(name, selection.free))
    return selection.objective


def _conditional(
    objective: ProblemObjective | FunctionObjective, name: str, x: np.ndarray, value: float
) -> tuple[float, np.ndarray]:
    """(chi2, free parameters) at the best values of the others."""
    i = [p.name for p in objective.parameters].index(name)
    x = x.copy()
    x[i] = value
    inner = objective.holding(name, x)
    if not inner.parameters:
        return inner(np.zeros(0)), x
    found = minimize(inner, inner.start)
    return float(found.fun), np.insert(np.asarray(found.x, float), i, value)


def _root(function: Callable[[float], float], inner: float, outer: float) -> float:
    """Where `function` changes sign between the two, to 1e-6 of their distance."""
    from scipy.optimize import root_scalar

    return float(root_scalar(function, bracket=(inner, outer), method="brentq", xtol=1e-6 * abs(outer - inner)).root)


def profile(selection: Selection, best: dict[str, float], name: str, values: Sequence[float]) -> Profile:
    """Profile of `name` at `values`; every point starts from its neighbour, outward from the best fit.

    Args:
        best: the free parameters at the best fit.

    Raises:
        ValueError (InvalidValue): `name` is not free, or a value is out of bounds.
    """
    objective = _objective(selection, name)
    names = [p.name for p in objective.parameters]
    grid = np.unique(np.asarray(values, float))
    parameter = objective.parameters[names.index(name)]
    if grid.size == 0 or grid[0] < parameter.lower or grid[-1] > parameter.upper:
        raise InvalidValue(
            f"profile of `{name}` at {list(values)}", hint=f"valid: {parameter.lower:g} to {parameter.upper:g}"
        )
    x_best = np.array([best[p.name] for p in objective.parameters])
    chi2, found = np.empty(len(grid)), np.empty((len(grid), len(names)))
    middle = int(np.argmin(np.abs(grid - best[name])))
    for order in (range(middle, len(grid)), range(middle - 1, -1, -1)):
        x = x_best
        for i in order:
            chi2[i], x = _conditional(objective, name, x, grid[i])
            found[i] = x
    others = {n: found[:, i] for i, n in enumerate(names) if n != name}
    return Profile(
        parameter=name, values=grid, chi2=chi2, others=others, best=(float(best[name]), float(objective(x_best)))
    )


def profile_error(selection: Selection, best: dict[str, float], name: str, level: float = 1.0) -> ProfileError:
    """Δchi2 = `level` interval (1: 68 %, 4: 95 % for a parabola), to 1e-6 of its width.

    A side is None when the bound is reached before chi2 has risen that far: there is no such limit inside the bounds.
    """
    objective = _objective(selection, name)
    x_best = np.array([best[p.name] for p in objective.parameters])
    chi2_best = objective(x_best)
    parameter = next(p for p in objective.parameters if p.name == name)
    centre = float(best[name])

    def excess(value: float) -> float:
        return _conditional(objective, name, x_best, value)[0] - chi2_best - level

    limits: dict[str, float | None] = {}
    for side, bound, sign in (("lower", parameter.lower, -1.0), ("upper", parameter.upper, 1.0)):
        width, inner, outer = parameter.typical, centre, centre
        while outer != bound and width < FAR * parameter.typical:
            outer = max(centre - width, bound) if sign < 0 else min(centre + width, bound)
            if excess(outer) > 0:
                break
            inner, width = outer, 2.0 * width
        is_found = outer != centre and excess(outer) > 0
        limits[side] = _root(excess, inner, outer) if is_found else None
    return ProfileError(parameter=name, best=centre, level=level, **limits)


def whole_profile(selection: Selection, best: dict[str, float], name: str) -> Profile:
    """A profile up to Δchi2 = 9, or to the bounds where they come first; 12 steps on either side of the best fit."""
    reach = profile_error(selection, best, name, level=9.0)
    parameter = next(p for p in selection.objective.parameters if p.name == name)
    low = parameter.lower if reach.lower is None else reach.lower
    high = parameter.upper if reach.upper is None else reach.upper
    sides = (np.linspace(low, best[name], 13), np.linspace(best[name], high, 13))
    return profile(selection, best, name, np.clip(np.concatenate(sides), low, high).tolist())
