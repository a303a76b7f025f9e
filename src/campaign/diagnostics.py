"""Has a sample mixed? R-hat, effective sample sizes, integrated autocorrelation time. NumPy and SciPy, on the host.

Every function takes draws of one quantity from several chains, shape (n_steps, n_chains), the layout of a trace.
They follow Vehtari, Gelman, Simpson, Carpenter & Bürkner 2021 (Bayesian Analysis 16, 667; arXiv:1903.08008) and, for
tau, Sokal 1997 as used by Goodman & Weare 2010. Walkers of one ensemble are not independent chains: their R-hat says
whether they agree with each other, not whether a second ensemble would.

Checked: tests/oracle/test_diagnostics.py against published numbers of ArviZ and emcee, and against both libraries.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy import fft, special, stats

RHAT_WARNING = 1.05  # of the walkers of one ensemble, which are not independent chains
TAU_WARNING = 50.0  # fewer tau than this, and tau itself is not to be trusted (emcee's rule)


class Mixed(NamedTuple):
    """Everything that is asked about the draws of one quantity, computed together: R-hat, ESS, tau in steps."""

    rhat: float
    ess_bulk: float
    ess_tail: float
    tau: float


def mixed(draws: np.ndarray) -> Mixed:
    """`rhat`, `ess_bulk`, `ess_tail` and `autocorrelation_time` of (n_steps, n_chains), each ranked and split once."""
    tau = autocorrelation_time(draws)
    if not _can_be_judged(draws):
        return Mixed(np.nan, np.nan, np.nan, tau)
    chains = _split(draws)
    bulk = _rank_normal(chains)
    return Mixed(_rhat(chains, bulk) if draws.shape[1] > 1 else np.nan, _ess(bulk), ess_tail(draws), tau)


def rhat(draws: np.ndarray) -> float:
    """Rank-normalised split R-hat: the larger of the bulk value and the one of the folded draws (their eq. 4, sec. 4).

    R̂ = √((B/W + n − 1)/n) over half-chains of n draws, on z = Φ⁻¹((rank − 3/8)/(S + 1/4)) of x and of |x − median|.

    Returns:
        about 1 when the chains agree; NaN for constant or non-finite draws, fewer than 4 steps, or one chain.
    """
    if draws.shape[1] < 2 or not _can_be_judged(draws):
        return float("nan")
    chains = _split(draws)
    return _rhat(chains, _rank_normal(chains))


def _rhat(chains: np.ndarray, bulk: np.ndarray) -> float:
    folded = np.abs(chains - np.median(chains))
    return max(_split_rhat(bulk), _split_rhat(_rank_normal(folded)))


def ess_bulk(draws: np.ndarray) -> float:
    """Effective number of independent draws for the centre of the distribution: ESS of the rank-normalised draws."""
    return _ess(_rank_normal(_split(draws))) if _can_be_judged(draws) else float("nan")


def ess_tail(draws: np.ndarray) -> float:
    """Effective number of independent draws for the 5 % and 95 % quantiles: the smaller of the two."""
    if not _can_be_judged(draws):
        return float("nan")
    return min(_ess(_split((draws <= q).astype(np.float64))) for q in np.quantile(draws, (0.05, 0.95)))


def ess_mean(draws: np.ndarray) -> float:
    """Effective number of independent draws for the mean: ESS of the draws themselves."""
    return _ess(_split(draws)) if _can_be_judged(draws) else float("nan")


def ess_sd(draws: np.ndarray) -> float:
    """Effective number of independent draws for the standard deviation: ESS of (x − mean)²."""
    return ess_mean((draws - np.mean(draws)) ** 2)


def ess_quantile(draws: np.ndarray, probability: float) -> float:
    """Effective number of independent draws for a quantile q: ESS of the indicator x ≤ q."""
    return ess_mean((draws <= np.quantile(draws, probability)).astype(np.float64)) if _can_be_judged(draws) else np.nan


def mcse_mean(draws: np.ndarray) -> float:
    """Monte Carlo standard error of the mean: sd/√ESS."""
    return float(np.std(draws, ddof=1) / np.sqrt(ess_mean(draws)))


def mcse_sd(draws: np.ndarray) -> float:
    """Monte Carlo standard error of the standard deviation, by the delta method: √(var(s²)/ESS)/(2 s).

    s² is the mean of (x − mean)², var(s²) their variance, and ESS that of their mean; NaN for a constant.
    """
    squares = (draws - np.mean(draws)) ** 2
    variance = np.mean(squares)
    if not variance > 0:
        return float("nan")
    return float(np.sqrt(np.var(squares) / ess_sd(draws) / variance) / 2)


def mcse_quantile(draws: np.ndarray, probability: float) -> float:
    """Monte Carlo standard error of a quantile: half the distance of the order statistics at the 16 % and 84 %
    quantiles of the Beta distribution that the quantile of ESS independent draws has (Vehtari et al., sec. 4.4)."""
    ess = ess_quantile(draws, probability)
    if not np.isfinite(ess):
        return float("nan")
    ends = stats.beta.ppf((0.1586553, 0.8413447), ess * probability + 1, ess * (1 - probability) + 1)
    low, high = ends * draws.size - 1
    places = int(np.floor(max(low, 0))), int(np.ceil(min(high, draws.size - 1)))
    below, above = np.partition(draws, places, axis=None)[list(places)]
    return float(above - below) / 2


def autocorrelation_time(draws: np.ndarray, window: float = 5.0) -> float:
    """Integrated autocorrelation time tau [steps]: n_steps · n_chains / tau draws are worth one independent draw each.

    tau = 1 + 2 Σ_{t=1..M} ρ(t), with ρ averaged over the chains and M the smallest with M ≥ `window` · tau(M).

    Returns:
        tau; NaN where every chain is constant or a draw is not finite. Below about 50 tau of steps it is too small.

    Source: Sokal 1997, "Monte Carlo methods in statistical mechanics", sec. 3; averaged over walkers as emcee does.
    """
    n_steps = draws.shape[0]
    variance = np.var(draws, axis=0)
    if n_steps < 2 or not np.all(np.isfinite(variance)) or not np.any(variance > 0):
        return float("nan")
    moving = variance > 0
    rho = _mean_autocovariance(draws[:, moving] / np.sqrt(variance[moving]))
    tau = 2.0 * np.cumsum(rho) - 1.0
    enough = np.arange(n_steps) >= window * tau
    return float(tau[np.argmax(enough)] if np.any(enough) else tau[-1])


def _can_be_judged(draws: np.ndarray) -> bool:
    return draws.shape[0] >= 4 and bool(np.all(np.isfinite(draws)))


def _split(draws: np.ndarray) -> np.ndarray:
    """First and last half of every chain as chains of their own; an odd middle draw is left out."""
    half = draws.shape[0] // 2
    return np.concatenate((draws[:half], draws[-half:]), axis=1)


def _rank_normal(draws: np.ndarray) -> np.ndarray:
    """Φ⁻¹((rank − 3/8)/(S + 1/4)); equal draws share the mean of their ranks."""
    flat = draws.ravel()
    order = np.argsort(flat)
    ordered = flat[order]
    first = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))  # of each value
    n_equal = np.diff(first, append=flat.size)
    normal = special.ndtri((first + 0.5 * (n_equal + 1) - 0.375) / (flat.size + 0.25))
    found = np.empty(flat.size)
    found[order] = np.repeat(normal, n_equal)
    return found.reshape(draws.shape)


def _split_rhat(chains: np.ndarray) -> float:
    n = chains.shape[0]
    within = np.mean(np.var(chains, axis=0, ddof=1))
    between = n * np.var(np.mean(chains, axis=0), ddof=1)
    if not within > 0:
        return float("nan")
    return float(np.sqrt((between / within + n - 1) / n))


def _mean_autocovariance(draws: np.ndarray) -> np.ndarray:
    """Biased autocovariance (divided by n) at lags 0 … n−1, averaged over the columns, by a zero-padded FFT."""
    n, m = draws.shape
    size = fft.next_fast_len(2 * n, real=True)
    columns = np.ascontiguousarray((draws - np.mean(draws, axis=0)).T)
    transformed: Any = fft.rfft(columns, n=size, axis=1)
    power = np.sum(transformed.real**2 + transformed.imag**2, axis=0)
    return np.asarray(fft.irfft(power, n=size))[:n] / (n * m)


def _ess(chains: np.ndarray) -> float:
    """S / tau of chains that are split already, by Geyer's initial monotone positive sequence."""
    n, m = chains.shape
    total = n * m
    if np.ptp(chains) < np.finfo(np.float64).resolution:
        return float(total)
    mean_covariance = _mean_autocovariance(chains)
    within = mean_covariance[0] * n / (n - 1.0)
    variance = mean_covariance[0] + (np.var(np.mean(chains, axis=0), ddof=1) if m > 1 else 0.0)
    rho = 1.0 - (within - mean_covariance) / variance
    rho[0] = 1.0
    # Sums of neighbours ρ(2k) + ρ(2k+1) are positive and fall for a reversible chain: cut at the first that is not.
    pairs = (rho[0 : n - 1 : 2] + rho[1:n:2])[: max(1, (n - 1) // 2)]
    negative = np.flatnonzero(pairs <= 0)
    last = int(negative[0]) if negative.size else len(pairs) - 1
    remainder = rho[2 * last] if pairs[last] >= 0 else max(rho[2 * last], 0.0)
    tau = -1.0 + 2.0 * float(np.sum(np.minimum.accumulate(pairs[:last]))) + float(remainder)
    return float(total / max(tau, 1.0 / np.log10(total)))
