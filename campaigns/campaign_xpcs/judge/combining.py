"""Several estimates of the same parameters as one: weights are whole inverse covariances. No JAX."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from campaign.science import InvalidValue


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Combination:
    """C = (Σ C_k⁻¹)⁻¹ and mean = C Σ C_k⁻¹ θ_k.

    Attributes:
        spread: Σ (θ_k − mean)ᵀ C_k⁻¹ (θ_k − mean), which has `spread_dof` degrees of freedom where members agree.
    """

    mean: Float[np.ndarray, " d"]
    covariance: Float[np.ndarray, "d d"]
    spread: float
    spread_dof: int

    @property
    def p_value(self) -> float:
        """Chance of a spread as large, where members agree; NaN for one member."""
        from scipy.stats import chi2

        return float(chi2.sf(self.spread, self.spread_dof)) if self.spread_dof > 0 else float("nan")


def combine(means: Float[np.ndarray, "m d"], precisions: Float[np.ndarray, "m d d"]) -> Combination:
    """Combine estimates.

    A member may leave directions free: its precision is then singular there, with zeros, and it says nothing about
    them. Together they must say something about each.

    Args:
        means: θ_k. precisions: C_k⁻¹, symmetric, positive semidefinite.

    Raises:
        InvalidValue: no direction may be free in all members, and shapes must agree.

    Checked: tests/unit/xpcs/judge/test_xpcs_combining.py against one fit of all data of a linear model, exactly.
    """
    means, precisions = np.asarray(means, np.float64), np.asarray(precisions, np.float64)
    if means.ndim != 2 or precisions.shape != (*means.shape, means.shape[-1]) or not len(means):
        raise InvalidValue(f"means {means.shape} and precisions {precisions.shape}", hint="(m, d) and (m, d, d)")
    total = precisions.sum(axis=0)
    scale = np.sqrt(np.diag(total))
    if not (scale > 0).all():
        free = np.flatnonzero(~(scale > 0)).tolist()
        raise InvalidValue(f"no estimate says anything about parameters {free}")
    whole = total / np.outer(scale, scale)
    if np.linalg.cond(whole) > 1.0 / np.finfo(float).eps:
        raise InvalidValue("the estimates together leave a direction free", hint="hold a parameter, or add an angle")
    covariance = np.linalg.inv(whole) / np.outer(scale, scale)
    mean = covariance @ np.einsum("kij,kj->i", precisions, means)
    off = means - mean
    ranks = [np.linalg.matrix_rank(one / np.outer(scale, scale), hermitian=True) for one in precisions]
    return Combination(
        mean=mean,
        covariance=0.5 * (covariance + covariance.T),
        spread=float(np.einsum("ki,kij,kj->", off, precisions, off)),
        spread_dof=int(sum(ranks)) - means.shape[1],
    )
