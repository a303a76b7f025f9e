"""The numbers behind drawings: autocorrelation, ranks, smoothed histograms and the levels that enclose a mass."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np


def autocorrelation(draws: np.ndarray) -> np.ndarray:
    """ρ(t) = Σ_s x(s) x(s+t) / Σ_s x(s)² of x less its mean, averaged over the columns.

    Args:
        draws: (T, W).

    Returns:
        (T,), ρ(0) = 1; NaN where no column varies.

    Checked: tests/unit/report/test_report_numbers.py, the sum itself.
    """
    n = draws.shape[0]
    centred = draws - draws.mean(axis=0)
    transformed = np.fft.rfft(centred, n=2 * n, axis=0)
    covariance = np.fft.irfft(np.abs(transformed) ** 2, n=2 * n, axis=0)[:n]
    moving = covariance[0] > 0
    if not moving.any():
        return np.full(n, np.nan)
    return (covariance[:, moving] / covariance[0, moving]).mean(axis=1)


def integrated_time(rho: np.ndarray, window: float = 5.0) -> float:
    """τ = 1 + 2 Σ_{t=1..M} ρ(t) [steps], M the smallest with M ≥ window · τ(M); NaN where ρ is.

    Source: Sokal 1997, "Monte Carlo methods in statistical mechanics", sec. 3.
    Checked: tests/unit/report/test_report_numbers.py, against the engines' own and (1 + ρ)/(1 − ρ).
    """
    if not np.isfinite(rho).all():
        return float("nan")
    tau = 2.0 * np.cumsum(rho) - 1.0
    enough = np.arange(len(rho)) >= window * tau
    return float(tau[np.argmax(enough)] if enough.any() else tau[-1])


def rank_bins(draws: np.ndarray, n_bins: int) -> np.ndarray:
    """In which of n equal bins the rank of each draw among all of them lies: (T, W) → (T, W) of 0 … n − 1."""
    ranks = np.empty(draws.size, np.int64)
    ranks[np.argsort(draws, axis=None, kind="stable")] = np.arange(draws.size)
    return (ranks * n_bins // draws.size).reshape(draws.shape)


def rank_counts(draws: np.ndarray, n_bins: int) -> tuple[np.ndarray, float]:
    """How many draws of each column have ranks in each bin, and how far such counts scatter around T / n_bins.

    A count of T draws that are in a bin with p = 1/n_bins has the variance τ T p (1 − p), τ the autocorrelation time of
    being in the bin, averaged over bins.

    Args:
        draws: (T, W).

    Returns:
        counts (W, n_bins) and their standard deviation.
    """
    bins = rank_bins(draws, n_bins)
    inside = [(bins == k).astype(np.float64) for k in range(n_bins)]
    counts = np.stack([one.sum(axis=0) for one in inside], axis=1)
    times = [integrated_time(autocorrelation(one)) for one in inside]
    tau = max(1.0, float(np.mean([t for t in times if np.isfinite(t)] or [1.0])))
    return counts, float(np.sqrt(tau * len(draws) / n_bins * (1.0 - 1.0 / n_bins)))


def smoothed_histogram(
    x: np.ndarray, y: np.ndarray, across: tuple[float, float], along: tuple[float, float], n: int = 40
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Counts in n × n bins, smoothed by a Gaussian of one bin, and the middles of the bins: (n, n), (n,), (n,)."""
    counts, edges_x, edges_y = np.histogram2d(x, y, bins=n, range=[across, along])
    weights = np.exp(-0.5 * np.arange(-3, 4) ** 2)
    weights /= weights.sum()
    blur = sum(w * np.eye(n, k=k) for w, k in zip(weights, range(-3, 4), strict=True))
    return blur @ counts @ blur, 0.5 * (edges_x[1:] + edges_x[:-1]), 0.5 * (edges_y[1:] + edges_y[:-1])


def mass_levels(density: np.ndarray, masses: Sequence[float]) -> list[float]:
    """Heights above which a density holds some fractions of its sum, ascending; fewer where two would be one."""
    ordered = np.sort(density, axis=None)[::-1]
    total = np.cumsum(ordered)
    if not total[-1] > 0:
        return []
    levels = {float(ordered[np.searchsorted(total, mass * total[-1])]) for mass in masses}
    return sorted(level for level in levels if 0 < level < density.max())


SUMMARIES: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "rms": lambda v: np.sqrt(np.mean(v**2, axis=1)),
    "norm": lambda v: np.sqrt(np.sum(v**2, axis=1)),
    "mean_abs": lambda v: np.mean(np.abs(v), axis=1),
}


def summarised(values: np.ndarray, summary: str = "rms") -> np.ndarray:
    """One number a step: of (T, k) a summary of the components that are finite there, NaN where none is.

    Args:
        summary: "rms" √mean(v²), "norm" √Σv², "mean_abs" mean|v|.

    Returns:
        (T,); of (T,) the same.
    """
    if values.ndim == 1:
        return values
    out, is_finite = np.full(len(values), np.nan), np.isfinite(values)
    for mask in np.unique(is_finite, axis=0):
        if mask.any():
            rows = (is_finite == mask).all(axis=1)
            out[rows] = SUMMARIES[summary](values[np.ix_(rows, mask)])
    return out
