"""Which parameters the data constrain: errors, degenerate directions, effective number of parameters. NumPy only.

The Jacobian of the whitened residuals is taken in units of half the allowed range of each parameter (of its logarithm,
where it is fitted in logarithms). A direction whose singular value is below 0.1 changes chi2 by less than 0.01 across
its whole allowed range: the data say nothing about it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from campaign.science import Parameter
from campaign_cosmology.model.optimizers import AT_BOUND

UNCONSTRAINED = 0.1  # singular value: sigmas of change of the data over half the allowed range
TAKES_PART = 0.1  # of a parameter's error, or of half its range: what an unconstrained direction moves it by
SHOWN = 1e-4  # least component of a direction that is listed


@dataclass(frozen=True, slots=True, kw_only=True)
class Curvature:
    """What the curvature of chi2 at a point says.

    Attributes:
        stderr: one sigma; None at a bound and where the data give no information.
        covariance: of the parameters that have errors, in the order of `constrained`.
        constrained: their names.
        bounds_reached: parameters at a bound → "lower" or "upper".
        unidentified: parameters that take part in an unconstrained direction.
        directions: those directions, as {parameter: component}.
        sensitivity: norm of each parameter's column: sigmas over half its range.
        n_effective: free parameters minus unconstrained directions; those at a bound count.
    """

    stderr: dict[str, float | None]
    covariance: np.ndarray
    constrained: list[str]
    bounds_reached: dict[str, str]
    unidentified: list[str]
    directions: list[dict[str, float]]
    sensitivity: dict[str, float]
    n_effective: int


def bounds_reached(parameters: tuple[Parameter, ...], x: np.ndarray) -> dict[str, str]:
    """{"k_sat": "lower"} … for parameters within 1e-8 of their range from a bound."""
    found = {}
    for parameter, value in zip(parameters, x, strict=True):
        width = parameter.upper - parameter.lower
        if not np.isfinite(width):
            continue
        for side, bound in (("lower", parameter.lower), ("upper", parameter.upper)):
            if abs(value - bound) <= AT_BOUND * width:
                found[parameter.name] = side
    return found


def half_ranges(parameters: tuple[Parameter, ...], x: np.ndarray) -> np.ndarray:
    """Half of each allowed range as a change of the parameter itself; 100 typical sizes where there is no range."""
    out = []
    for parameter, value in zip(parameters, x, strict=True):
        low, high = parameter.lower, parameter.upper
        if parameter.transform == "log" and low > 0 and np.isfinite(high):
            out.append(0.5 * np.log(high / low) * abs(value))
        else:
            out.append(0.5 * (high - low) if np.isfinite(high - low) else 100.0 * parameter.typical)
    return np.array(out)


@dataclass(frozen=True, slots=True, kw_only=True)
class Directions:
    """Directions of the parameters, in units of half their ranges (of their logarithms).

    Attributes:
        weak: those that the data leave free (n, d). strong: the others over their singular values (m, d).
        taking_part: which parameters each weak one moves by a tenth of their error, (n, d).
    """

    weak: np.ndarray
    strong: np.ndarray
    taking_part: np.ndarray

    @property
    def lost(self) -> np.ndarray:
        """Which parameters take part in any, (d,)."""
        return np.any(self.taking_part, axis=0)


def directions_of(slopes: np.ndarray) -> Directions:
    """Directions of a Jacobian (N, d) whose columns are in units of half the ranges."""
    d = slopes.shape[1]
    _, s, vt = np.linalg.svd(slopes, full_matrices=True)
    s = np.concatenate([s, np.zeros(d - len(s))])
    is_weak = s < UNCONSTRAINED
    strong = vt[~is_weak] / s[~is_weak, None]
    taking_part = np.abs(vt[is_weak]) > TAKES_PART * np.minimum(np.linalg.norm(strong, axis=0), 1.0)
    return Directions(weak=vt[is_weak], strong=strong, taking_part=taking_part)


def not_held(parameters: tuple[Parameter, ...], x: np.ndarray, slopes: np.ndarray) -> list[int]:
    """Places of the parameters that no bound holds: those inside, and those at a bound that no data have brought there.

    Free directions are found with the parameters at bounds among them: one that runs along such a direction until a
    bound stops it would else make the others look measured.
    """
    reached, lost = bounds_reached(parameters, x), directions_of(slopes).lost
    return [i for i, p in enumerate(parameters) if p.name not in reached or lost[i]]


def curvature(parameters: tuple[Parameter, ...], x: np.ndarray, jacobian: np.ndarray) -> Curvature:
    """Errors and identifiability at x, from the Jacobian (N, d) of the whitened residuals.

    Covariance = (JᵀJ)⁻¹ over the constrained directions of the parameters that no bound holds. A parameter has no error
    where an unconstrained direction, followed over half its range, moves it by more than a tenth of that error: CMB
    priors alone leave H0 and k_sat one direction, so neither has one; BAO alone H0 and Obh2, also where Obh2 has run to
    its bound.
    Checked: tests/oracle/test_cosmology_fits.py (errors of the golden fits), tests/unit/cosmology (degenerate cases).
    """
    names = [p.name for p in parameters]
    reached = bounds_reached(parameters, x)
    unit = half_ranges(parameters, x)
    slopes = jacobian * unit
    sensitivity = dict(zip(names, np.linalg.norm(slopes, axis=0).tolist(), strict=True))
    inside = not_held(parameters, x, slopes)
    found = directions_of(slopes[:, inside])
    listed = [
        {names[inside[j]]: float(v[j]) for j in np.argsort(-np.abs(v)) if taken[j] and abs(v[j]) > SHOWN}
        for v, taken in zip(found.weak, found.taking_part, strict=True)
    ]
    covariance = found.strong.T @ found.strong * np.outer(unit[inside], unit[inside])
    kept = [j for j, i in enumerate(inside) if not found.lost[j] and names[i] not in reached]
    errors: dict[str, float | None] = dict.fromkeys(names)
    for j in kept:
        errors[names[inside[j]]] = float(np.sqrt(covariance[j, j]))
    return Curvature(
        stderr=errors,
        covariance=covariance[np.ix_(kept, kept)],
        constrained=[names[inside[j]] for j in kept],
        bounds_reached=reached,
        unidentified=[names[i] for j, i in enumerate(inside) if found.lost[j]],
        directions=listed,
        sensitivity=sensitivity,
        n_effective=len(names) - len(found.weak),
    )
