"""A posterior with other data or priors, from the draws at hand: importance weights, and when not to use them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from campaign.science import InvalidValue

LEAST_FRACTION = 0.01  # effective draws of all draws below which the two posteriors hardly overlap


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reweighted:
    """Draws with weights that sum to 1.

    Attributes:
        weights: (n,).
        n_effective: 1 / Σ w².
        log_ratio: ln of the evidence with what was added over that without.
    """

    weights: Float[np.ndarray, " n"]
    n_effective: float
    log_ratio: float

    def mean(self, draws: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " d"]:
        """Posterior mean."""
        return self.weights @ draws

    def covariance(self, draws: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "d d"]:
        """Posterior covariance."""
        off = draws - self.mean(draws)
        return (off * self.weights[:, None]).T @ off


def reweight(log_added: Float[np.ndarray, " n"]) -> Reweighted:
    """Weights w ∝ exp(ln L_added) of draws from a posterior without what was added.

    Args:
        log_added: ln of the added likelihood, or of the ratio of priors, at each draw; −∞ leaves a draw out.

    Raises:
        ValueError (InvalidValue): NaN, nothing left, or fewer effective draws than 1 % of all: sample anew.

    Checked: tests/unit/cosmology/judge/test_cosmology_tension.py, against a product of Gaussians.
    """
    added = np.asarray(log_added, float)
    if added.ndim != 1 or not len(added) or np.isnan(added).any() or np.isposinf(added).any():
        raise InvalidValue("an added log-likelihood is not a number", hint="one number a draw; −inf leaves one out")
    top = added.max()
    if np.isneginf(top):
        raise InvalidValue("what was added leaves no draw")
    weights = np.exp(added - top)
    total = weights.sum()
    weights = weights / total
    n_effective = float(1.0 / np.sum(weights**2))
    if n_effective < LEAST_FRACTION * len(added):
        raise InvalidValue(
            f"{n_effective:.0f} effective draws of {len(added)}: the two posteriors hardly overlap",
            hint="sample the posterior with all data instead",
        )
    return Reweighted(weights=weights, n_effective=n_effective, log_ratio=float(top + np.log(total / len(added))))
