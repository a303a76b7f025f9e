"""Basins: which of many fits ended in the same minimum, and which minima the data cannot tell apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from campaign.errors import InvalidValue

DISTANCE = 2.0  # two equal Gaussians closer than this many standard deviations have one peak
SAME = DISTANCE**2  # Δχ² that such a distance makes
CHOICE = 6.0  # Δχ² up to which the data do not choose: likelihoods within e³ = 20 of each other
_EQUAL = 1e-9  # relative: two values are one bound
_FLAT = 1e-12  # of the largest eigenvalue of a correlation matrix: below it there is only rounding


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ended:
    """One fit, as basins see it.

    Attributes:
        run_id: its name.
        theta: the free parameters (d,).
        covariance: of them (d, d); NaN in the rows of a parameter that has no error.
        chi2: there; 2 · loss where that is what there is.
        unit: what a Δχ² of 1 is worth: 1, or χ²/dof where errors of the data are unknown.
        is_settled: it has converged, to a place of the stated model; only such a fit makes a basin.
        held: parameters that a bound holds.
    """

    run_id: str
    theta: Float[np.ndarray, " d"]
    covariance: Float[np.ndarray, "d d"]
    chi2: float
    held: Bool[np.ndarray, " d"]
    unit: float = 1.0
    is_settled: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Basin:
    """A minimum and the fits that ended in it.

    Attributes:
        theta, stderr: of the best member, by name; NaN where it has no error.
        chi2: of the best member; delta_chi2: more than that of the best basin, in units of `Ended.unit`.
        members: run ids, the best first.
    """

    theta: dict[str, float]
    stderr: dict[str, float]
    chi2: float
    delta_chi2: float
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Basins:
    """All minima that some fits found.

    Attributes:
        found: best first.
        rivals: numbers of the basins, from 0, among which the data cannot choose; empty where one is best.
        unsettled: run ids of fits that have not converged and lie in no basin.
        remarks: what else to know, in words.
    """

    found: tuple[Basin, ...]
    rivals: tuple[int, ...]
    unsettled: tuple[str, ...]
    remarks: tuple[str, ...] = field(default=())

    @property
    def is_degenerate(self) -> bool:
        """Whether several minima fit equally well."""
        return bool(self.rivals)

    def document(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {
            "basins": [
                {
                    "chi2": basin.chi2,
                    "delta_chi2": basin.delta_chi2,
                    "n_members": len(basin.members),
                    "theta": basin.theta,
                    "stderr": basin.stderr,
                    "members": list(basin.members),
                }
                for basin in self.found
            ],
            "rivals": list(self.rivals),
            "unsettled": list(self.unsettled),
            "remarks": list(self.remarks),
        }


def basins_of(
    fits: Sequence[Ended],
    names: Sequence[str],
    *,
    distance: float = DISTANCE,
    same: float = SAME,
    choice: float = CHOICE,
) -> Basins:
    """Fits of one problem, put together by the minimum that they ended in.

    Best first, each fit joins the first basin whose best member is nearer than `distance` (`mahalanobis`), with χ²
    within `same`; else it begins one of its own. Ties are one basin. Rivals are basins within `choice` of the best:
    distinct minima with a likelihood ratio above 1 : 20. Δχ² counts in units of χ²/dof of the best fit where the errors
    of the data are unknown.

    Raises:
        InvalidValue: a threshold below 0.

    Checked: tests/unit/analysis/test_basins.py.
    """
    for name, value in (("distance", distance), ("same", same), ("choice", choice)):
        if not value >= 0:
            raise InvalidValue(f"`{name}` is {value}; it is a threshold", hint="valid: 0 or more")
    usable = sorted((one for one in fits if np.isfinite(one.chi2)), key=lambda one: one.chi2)
    unit = usable[0].unit if usable else 1.0
    homes: list[list[Ended]] = []
    unsettled = [one.run_id for one in fits if not np.isfinite(one.chi2)]
    for one in sorted(usable, key=lambda one: (not one.is_settled, one.chi2)):
        near = (h for h in homes if one.chi2 - h[0].chi2 <= same * unit and mahalanobis(one, h[0]) <= distance)
        home = next(near, None)
        if home is not None:
            home.append(one)
        elif one.is_settled:
            homes.append([one])
        else:
            unsettled.append(one.run_id)
    best = homes[0][0].chi2 if homes else np.nan
    found = tuple(_basin(home, names, best, unit) for home in homes)
    rivals = tuple(k for k, basin in enumerate(found) if basin.delta_chi2 <= choice)
    return Basins(
        found=found,
        rivals=rivals if len(rivals) > 1 else (),
        unsettled=tuple(unsettled),
        remarks=_remarks(usable, homes, unit, names),
    )


def mahalanobis(a: Ended, b: Ended) -> float:
    """√(Δᵀ C⁻¹ Δ) with C = (C_a + C_b)/2, over the directions that both fits identify.

    A parameter that only one of them identifies counts by itself, with that one's error; one that neither does counts
    nothing. Infinite where bounds hold a parameter at different values, and between different points without any error.
    """
    known_a, known_b = (np.isfinite(np.diagonal(one.covariance)) for one in (a, b))
    delta = a.theta - b.theta
    apart = np.abs(delta) > _EQUAL * (np.abs(a.theta) + np.abs(b.theta))
    if np.any(apart & a.held & b.held) or (np.any(apart) and not np.any(known_a | known_b)):
        return np.inf
    both = known_a & known_b
    total = 0.0
    if both.any():
        pooled = 0.5 * (a.covariance + b.covariance)[np.ix_(both, both)]
        sd = np.sqrt(np.diagonal(pooled))
        sd = np.where(sd > 0, sd, np.finfo(float).tiny)
        values, vectors = np.linalg.eigh(pooled / np.outer(sd, sd))
        along = vectors.T @ (delta[both] / sd)
        seen = values > _FLAT * values[-1]
        total += float(np.sum(along[seen] ** 2 / values[seen]))
    for only, covariance in ((known_a & ~known_b, a.covariance), (known_b & ~known_a, b.covariance)):
        total += float(np.sum(delta[only] ** 2 / np.diagonal(covariance)[only]))
    return float(np.sqrt(total))


def _basin(home: list[Ended], names: Sequence[str], best: float, unit: float) -> Basin:
    top = home[0]
    errors = np.sqrt(np.diagonal(top.covariance))
    return Basin(
        theta=dict(zip(names, top.theta.tolist(), strict=True)),
        stderr=dict(zip(names, errors.tolist(), strict=True)),
        chi2=top.chi2,
        delta_chi2=(top.chi2 - best) / unit,
        members=tuple(one.run_id for one in home),
    )


def _remarks(usable: list[Ended], homes: list[list[Ended]], unit: float, names: Sequence[str]) -> tuple[str, ...]:
    """What the table does not show."""
    said = []
    if usable and homes and not usable[0].is_settled and usable[0].chi2 < homes[0][0].chi2 - CHOICE * unit:
        said.append(f"run {usable[0].run_id} lies lower than every basin and has not converged: see its message")
    unknown = [n for k, n in enumerate(names) if homes and not np.isfinite(homes[0][0].covariance[k, k])]
    if unknown:
        said.append(f"without error in the best basin, so not compared: {', '.join(unknown)}")
    return tuple(said)
