"""One word for a fit, and the reasons for it: good, marginal, poor, or degenerate."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from campaign.science import Fit
from campaign_xpcs.judge.rates import free_of, theta_of
from campaign_xpcs.model.marginal import MarginalProblem
from campaign_xpcs.model.two_time import TwoTimeProblem

GOOD, MARGINAL = 2.0, 5.0  # χ² per degree of freedom below which a fit may be so, as in homodyne
OVERFITTED = 0.5  # below it σ is too large, or points are not independent
MOST_AT_BOUNDS = 2  # of a marginal fit
NEAR = 1e-3  # ½ gᵀCg above which the minimum is elsewhere: χ² would fall by twice that

Word = Literal["good", "marginal", "poor", "degenerate"]
State = Literal["converged", "partial", "failed"]
_STATES: dict[str, State] = {
    "converged": "converged",
    "budget": "partial",
    "stalled": "partial",
    "degenerate": "partial",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """What a fit is worth.

    Attributes:
        word: "good" needs every criterion; "marginal" misses some by little; "degenerate": J(t) or the shear rate is
            floored somewhere, so the model is not the one that is stated.
        state: "converged", "partial" (budget, stalled, degenerate), "failed".
        reasons: what keeps it from "good"; for "good" what to bear in mind.
        reduced_chi2: per degree of freedom.
        newton_decrement: ½ gᵀCg: how far ln L can still rise; NaN without a covariance.
        sigma_is_default: nobody gave errors: χ² and with it the word mean little.
    """

    word: Word
    state: State
    reasons: tuple[str, ...]
    reduced_chi2: float
    newton_decrement: float
    sigma_is_default: bool


def quality(problem: TwoTimeProblem | MarginalProblem, found: Fit) -> Quality:
    """The word for a fit; criteria are joined by AND.

    Checked: tests/unit/xpcs/test_xpcs_quality.py, a table of cases; tests/oracle/test_xpcs_golden.py.
    """
    inner = problem.inner if isinstance(problem, MarginalProblem) else problem
    decrement = newton_decrement(problem, found)
    return judged(
        outcome=found.outcome,
        reduced_chi2=float(found.metric.get("reduced_chi2", math.nan)),
        n_at_bounds=len(found.bounds_reached),
        unidentified=tuple(found.unidentified),
        newton_decrement=decrement,
        sigma_is_default=inner.sigma_is_default,
    )


def judged(
    *,
    outcome: str,
    reduced_chi2: float,
    n_at_bounds: int = 0,
    unidentified: tuple[str, ...] = (),
    newton_decrement: float = 0.0,
    sigma_is_default: bool = False,
) -> Quality:
    """The word from its criteria alone."""
    state = _STATES.get(outcome, "failed")
    reasons, worst = [], 0  # 0 good, 1 marginal, 2 poor

    def miss(level: int, why: str) -> None:
        nonlocal worst
        worst = max(worst, level)
        reasons.append(why)

    if state != "converged":
        miss(1 if state == "partial" else 2, f"ended as {outcome}")
    if not reduced_chi2 < GOOD:
        miss(1 if reduced_chi2 < MARGINAL else 2, f"χ² per degree of freedom is {reduced_chi2:.3g}")
    elif reduced_chi2 < OVERFITTED:
        miss(1, f"χ² per degree of freedom is {reduced_chi2:.3g}: σ is too large, or points are not independent")
    if n_at_bounds:
        miss(1 if n_at_bounds <= MOST_AT_BOUNDS else 2, f"{n_at_bounds} parameters are at a bound")
    if unidentified:
        miss(1, f"the data do not tell {', '.join(unidentified)}")
    if newton_decrement > NEAR:
        miss(1 if newton_decrement < 0.5 else 2, f"ln L can still rise by about {newton_decrement:.2g}")
    if sigma_is_default:
        reasons.append("σ is a default: χ² means little")
    words: tuple[Word, ...] = ("good", "marginal", "poor")
    word: Word = "degenerate" if outcome == "degenerate" else words[worst]
    return Quality(
        word=word,
        state=state,
        reasons=tuple(reasons),
        reduced_chi2=reduced_chi2,
        newton_decrement=newton_decrement,
        sigma_is_default=sigma_is_default,
    )


def newton_decrement(problem: TwoTimeProblem | MarginalProblem, found: Fit) -> float:
    """½ gᵀCg with g = −∇ ln L of the parameters that no bound holds, C their covariance: what ln L can gain.

    Independent of units and of the engine; NaN without a covariance.
    """
    if "covariance" not in found.arrays:
        return math.nan
    free = np.array(list(free_of(problem, found)), int)
    theta = jnp.asarray(theta_of(problem, found))
    slope = np.asarray(jax.jit(jax.grad(lambda t: -problem.log_likelihood(t)))(theta))[free]
    covariance = np.asarray(found.arrays["covariance"])
    known = np.isfinite(np.diag(covariance)) & np.array(
        [problem.space.names[i] not in found.bounds_reached for i in free], bool
    )
    if not known.any():
        return math.nan
    own = covariance[np.ix_(known, known)]
    factor = 1.0 if problem.absolute_sigma else float(found.metric.get("reduced_chi2", 1.0))
    return float(0.5 * slope[known] @ own @ slope[known] / factor)
