"""A posterior with other data or priors, from the draws at hand: importance weights, and when not to use them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from campaign.errors import InvalidValue

LEAST = 100.0  # effective draws: fewer, and an error bar is off by 7 % of itself or more
LEAST_FRACTION = 0.01  # effective draws of all draws below which the two posteriors hardly overlap
LARGEST_K = 0.7  # shape of the tail of the weights above which their mean is not to be trusted (Vehtari et al.)
_TAIL = 5  # weights at least, of which a tail is made


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reweighted:
    """Draws with weights that sum to 1.

    Attributes:
        weights: (n,).
        n_independent: effective number of independent draws before.
        n_effective: the same with the weights: n_independent · (1 / Σ w²) / n.
        tail: shape k of the Pareto distribution of the largest weights; below 0 they are bounded. NaN: too few.
        log_ratio: ln of the evidence with what was added over that without.
        log_ratio_stderr: its Monte Carlo error.
    """

    weights: Float[np.ndarray, " n"]
    n_independent: float
    n_effective: float
    tail: float
    log_ratio: float
    log_ratio_stderr: float

    def mean(self, draws: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " d"]:
        """Posterior mean."""
        return self.weights @ draws

    def covariance(self, draws: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "d d"]:
        """Posterior covariance."""
        off = draws - self.mean(draws)
        return (off * self.weights[:, None]).T @ off

    def quantiles(self, draws: Float[np.ndarray, "n d"], probabilities: tuple[float, ...]) -> Float[np.ndarray, "q d"]:
        """Posterior quantiles of each column: where the summed weights pass a probability, between two draws."""
        out = np.empty((len(probabilities), draws.shape[1]))
        for i in range(draws.shape[1]):
            order = np.argsort(draws[:, i], kind="stable")
            weights = self.weights[order]
            out[:, i] = np.interp(probabilities, np.cumsum(weights) - 0.5 * weights, draws[order, i])
        return out


def reweight(
    log_added: Float[np.ndarray, " n"], *, n_independent: float | None = None, least: float = LEAST
) -> Reweighted:
    """Weights w ∝ exp(ln L_added) of draws from a posterior without what was added.

    Args:
        log_added: ln of the added likelihood, or of the ratio of two, at each draw; −∞ leaves a draw out.
        n_independent: how many independent draws they are worth; n where it is None.
        least: effective draws that are asked for.

    Raises:
        ValueError (InvalidValue): NaN, nothing left, fewer effective draws than `least` or than 1 % of all, or weights
            with so heavy a tail (k > 0.7) that their number says nothing. Sample anew.

    Source: effective number: Kong 1992; tail: Vehtari, Simpson, Gelman, Yao & Gabry 2024, arXiv:1507.02646.
    Checked: tests/unit/analysis/test_reweighting.py, against products of Gaussians.
    """
    added = np.asarray(log_added, float)
    if added.ndim != 1 or not len(added) or np.isnan(added).any() or np.isposinf(added).any():
        raise InvalidValue("an added log-likelihood is not a number", hint="one number a draw; −inf leaves one out")
    n, top = len(added), added.max()
    if np.isneginf(top):
        raise InvalidValue("what was added leaves no draw", hint="sample the posterior with all data instead")
    ratios = np.exp(added - top)
    mean = ratios.mean()
    weights = ratios / ratios.sum()
    independent = min(float(n), n if n_independent is None else n_independent)
    share = float(1.0 / np.sum(weights**2)) / n
    effective, tail = independent * share, tail_shape(weights)
    hint = "sample the posterior with all data instead"
    if share < LEAST_FRACTION:
        raise InvalidValue(f"{share * n:.0f} effective draws of {n}: the two posteriors hardly overlap", hint=hint)
    if effective < least:
        raise InvalidValue(
            f"{effective:.0f} effective draws, of {independent:.0f} independent ones, are fewer than {least:g}",
            hint=f"give a chain about {math.ceil(least / effective - 1e-9)} times as long, or {hint}",
        )
    if tail > LARGEST_K:
        raise InvalidValue(f"a few draws have most of the weight (k = {tail:.2f}, at most {LARGEST_K})", hint=hint)
    return Reweighted(
        weights=weights,
        n_independent=independent,
        n_effective=effective,
        tail=tail,
        log_ratio=float(top + math.log(mean)),
        log_ratio_stderr=math.sqrt(max(1.0 / share - 1.0, 0.0) / independent),
    )


def tail_shape(weights: Float[np.ndarray, " n"]) -> float:
    """Shape k of the generalised Pareto distribution of the largest min(n/5, 3√n) weights; NaN where they are too few.

    Weights of a finite variance have k < 1/2. The posterior mean of k over a profile likelihood, with its weak prior.

    Source: Zhang & Stephens 2009, Technometrics 51, 316; Vehtari et al., appendix G.
    """
    n = len(weights)
    size = int(min(0.2 * n, 3.0 * math.sqrt(n)))
    if size < _TAIL:
        return math.nan
    largest = np.sort(weights)[n - size - 1 :]
    excess = largest[1:] - largest[0]
    excess = excess[excess > 0]
    if len(excess) < _TAIL or not excess[-1] > excess[0]:
        return math.nan
    m = len(excess)
    grid = np.arange(1, 31 + int(math.sqrt(m)))
    b = (1.0 - np.sqrt(len(grid) / (grid - 0.5))) / (3.0 * excess[int(m / 4 + 0.5) - 1]) + 1.0 / excess[-1]
    k = np.log1p(-b[:, None] * excess).mean(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        likelihood = m * (np.log(-b / k) - k - 1.0)
    likelihood = np.where(np.isfinite(likelihood), likelihood, -np.inf)
    own = np.exp(likelihood - likelihood.max())
    best = float((b * own).sum() / own.sum())
    shape = float(np.log1p(-best * excess).mean())
    return (m * shape + 5.0) / (m + 10.0)
