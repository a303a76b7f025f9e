"""Which parameters the data constrain: errors, degenerate directions, effective number of parameters. NumPy only.

The Jacobian of the whitened residuals is taken in units of half the physical range of each parameter (of its logarithm,
where it is fitted in logarithms), whatever narrower bounds a fit was given. A direction whose singular value is below
0.1 changes chi2 by less than 0.01 across that range: the data say nothing about it. A parameter at a bound takes part:
it ended there because nothing held it, and those that it is degenerate with are no better known for that.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from campaign.science import Parameter
from campaign_cosmology.model.optimizers import AT_BOUND
from campaign_cosmology.model.space import PARAMETERS

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
    """Half of each physical range as a change of the parameter itself; 100 typical sizes where there is no range."""
    out = []
    for parameter, value in zip(parameters, x, strict=True):
        known = PARAMETERS.get(parameter.name, parameter)
        low, high = min(parameter.lower, known.lower), max(parameter.upper, known.upper)
        if parameter.transform == "log" and low > 0 and np.isfinite(high):
            out.append(0.5 * np.log(high / low) * abs(value))
        else:
            out.append(0.5 * (high - low) if np.isfinite(high - low) else 100.0 * parameter.typical)
    return np.array(out)


def curvature(parameters: tuple[Parameter, ...], x: np.ndarray, jacobian: np.ndarray) -> Curvature:
    """Errors and identifiability at x, from the Jacobian (N, d) of the whitened residuals.

    Covariance = (JᵀJ)⁻¹ over the constrained directions of the parameters at no bound. A parameter has no error
    where an unconstrained direction, followed over half its range, moves it by more than a tenth of that error: CMB
    priors alone leave H0 and k_sat one direction, so neither has one, nor where one of them ended at a bound.
    Checked: tests/oracle/test_cosmology_fits.py (errors of the golden fits), tests/unit/cosmology (degenerate cases),
    tests/oracle/test_cosmology_bao_alone.py (200 starts and bounds).
    """
    names = [p.name for p in parameters]
    reached = bounds_reached(parameters, x)
    unit = half_ranges(parameters, x)
    sensitivity = dict(zip(names, np.linalg.norm(jacobian * unit, axis=0).tolist(), strict=True))
    inside = [i for i, name in enumerate(names) if name not in reached]
    _, s, vt = np.linalg.svd(jacobian[:, inside] * unit[inside], full_matrices=True)
    s = np.concatenate([s, np.zeros(len(inside) - len(s))])
    weak = s < UNCONSTRAINED
    strong = vt[~weak] / s[~weak, None]
    directions, unconstrained = _directions(names, jacobian * unit)
    lost = _taking_part(vt[weak], strong).any(axis=0) | np.isin([names[i] for i in inside], list(unconstrained))
    covariance = strong.T @ strong * np.outer(unit[inside], unit[inside])
    kept = [j for j in range(len(inside)) if not lost[j]]
    errors: dict[str, float | None] = dict.fromkeys(names)
    for j in kept:
        errors[names[inside[j]]] = float(np.sqrt(covariance[j, j]))
    dead = [name for name in reached if sensitivity[name] < UNCONSTRAINED]
    unidentified = [n for i, n in enumerate(names) if n in dead or (i in inside and lost[inside.index(i)])]
    return Curvature(
        stderr=errors,
        covariance=covariance[np.ix_(kept, kept)],
        constrained=[names[inside[j]] for j in kept],
        bounds_reached=reached,
        unidentified=[name for name in names if name in unconstrained or name in unidentified],
        directions=directions,
        sensitivity=sensitivity,
        n_effective=len(names) - len(directions),
    )


def _directions(names: list[str], scaled: np.ndarray) -> tuple[list[dict[str, float]], set[str]]:
    """Unconstrained directions among all parameters, those at a bound too, and who takes part in one of them.

    Args:
        scaled: Jacobian (N, d) in units of half the ranges.
    """
    _, s, vt = np.linalg.svd(scaled, full_matrices=True)
    weak = np.concatenate([s, np.zeros(len(names) - len(s))]) < UNCONSTRAINED
    taking_part = _taking_part(vt[weak], vt[~weak] / s[: int((~weak).sum()), None])
    found = [
        {names[j]: float(v[j]) for j in np.argsort(-np.abs(v)) if taken[j] and abs(v[j]) > SHOWN}
        for v, taken in zip(vt[weak], taking_part, strict=True)
    ]
    return found, {names[j] for j in np.flatnonzero(taking_part.any(axis=0))}


def _taking_part(weak: np.ndarray, strong: np.ndarray) -> np.ndarray:
    """Which parameters an unconstrained direction moves: (directions, d), from directions and strong ones · error."""
    return np.abs(weak) > TAKES_PART * np.minimum(np.linalg.norm(strong, axis=0), 1.0)
