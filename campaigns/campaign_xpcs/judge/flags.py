"""How good a fit is, in one word, and why: the document's flags, with AND where it says OR. No JAX."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

Status = Literal["converged", "partial", "failed"]
Flag = Literal["good", "marginal", "poor"]

STATUSES: dict[str, Status] = {
    "converged": "converged",
    "budget": "partial",
    "stalled": "partial",
    "degenerate": "partial",
    "nonfinite": "failed",
    "diverged": "failed",
    "error": "failed",
    "timeout": "failed",
    "lost": "failed",
    "aborted": "failed",
}  # outcome of a run, and one of this package's: an alarm that ended the fit
GOOD, MARGINAL = 2.0, 5.0  # reduced χ² below which a fit is good, marginal
TOO_SMALL = 0.5  # reduced χ² below which the errors are too large
MOST_AT_BOUNDS = 2  # parameters at a bound of a marginal fit
NEAR = 0.1  # (decrement of χ²)^½ that a good fit has left, in errors
FLAT = 1e-3  # projected gradient of a good fit: a step along one parameter gains at most a millionth of χ²


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What a fit is judged by.

    Attributes:
        outcome: how the run ended ("degenerate": D(t) or the shear rate is floored at some times), or "aborted".
        decrement: √(gᵀH⁻¹g) at the end, in errors: how far the minimum still is; NaN where nobody knows.
        gradient: largest cosine between the residuals and the column of a parameter that can move: the projected
            gradient without units; NaN where nobody knows.
        lacking: directions of the parameters that the data do not constrain: their number less the rank.
        at_bounds, unidentified: parameters.
        sigma_is_default: nobody gave an error.
    """

    outcome: str
    reduced_chi_squared: float
    decrement: float = math.nan
    gradient: float = math.nan
    lacking: int = 0
    at_bounds: tuple[str, ...] = ()
    unidentified: tuple[str, ...] = ()
    sigma_is_default: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """A flag, the status it follows from, and every reason that speaks against the fit or the flag."""

    flag: Flag
    status: Status
    reasons: tuple[str, ...] = field(default=())

    @property
    def success(self) -> bool:
        """The minimum was reached. Nothing else decides it."""
        return self.status == "converged"


def judge_quality(evidence: Evidence) -> Quality:
    """The flag of a fit.

    good: converged, 0 ≤ χ²_red < 2, nothing at a bound, all identified, nowhere to go.
    marginal: converged or partial, χ²_red < 5, at most two parameters at bounds.
    poor: everything else.

    The document calls a fit marginal where χ²_red < 5 OR it ended partially, so 4·10⁶ would do; here both count. With
    default errors χ²_red says nothing about the model, and a reason says so.

    Checked: tests/unit/xpcs/judge/test_xpcs_flags.py, a table; homodyne's "converged, good" fits of D(3,100) are not.
    """
    status = STATUSES.get(evidence.outcome, "failed")
    chi2 = evidence.reduced_chi_squared
    against = _against(evidence)
    if status == "failed" or not chi2 < MARGINAL or len(evidence.at_bounds) > MOST_AT_BOUNDS:
        flag: Flag = "poor"
    elif status == "converged" and chi2 < GOOD and not against:
        flag = "good"
    else:
        flag = "marginal"
    remarks = []
    if evidence.sigma_is_default:
        remarks.append("errors are the default 0.01: χ² and this flag say little")
    if chi2 < TOO_SMALL:
        remarks.append(f"reduced χ² {chi2:.3g} below {TOO_SMALL:g}: the errors are too large")
    return Quality(flag=flag, status=status, reasons=(*against, *remarks))


def _against(evidence: Evidence) -> list[str]:
    """What keeps a fit from being good."""
    found = []
    if evidence.outcome == "degenerate":
        found.append("the fit ended as degenerate: D(t) or the shear rate is floored at some times")
    elif evidence.outcome != "converged":
        found.append(f"the fit ended as {evidence.outcome}")
    if not evidence.reduced_chi_squared < GOOD:
        found.append(f"reduced χ² {evidence.reduced_chi_squared:.4g}, not below {GOOD:g}")
    if evidence.at_bounds:
        found.append(f"at a bound: {', '.join(evidence.at_bounds)}")
    if evidence.unidentified:
        found.append(f"not identified by the data: {', '.join(evidence.unidentified)}")
    elif evidence.lacking > 0:
        found.append(f"the data leave {evidence.lacking} directions of the parameters open")
    if evidence.gradient > FLAT:
        found.append(f"the projected gradient is {evidence.gradient:.2g}, above {FLAT:g}")
    if evidence.decrement > NEAR:
        found.append(f"the minimum is {evidence.decrement:.3g} errors away")
    return found
