"""Drawings of the chains of a sampler. Each takes draws and an axes, draws, and gives the axes back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from campaign.analysis.measurement import measurement
from campaign.report.canvas import COLOURS, GREY, PALE, dress, few_ticks, label, limits, plain, readable
from campaign.report.numbers import (
    autocorrelation,
    integrated_time,
    mass_levels,
    rank_counts,
    smoothed_histogram,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase

Range = tuple[float, float]
BANDS = ((0.05, 0.95, 0.18), (0.25, 0.75, 0.35))  # quantiles from, to, and how dark


def quantile_bands(
    axes: Axes,
    steps: np.ndarray,
    draws: np.ndarray,
    *,
    name: str,
    unit: str = "",
    n_burn_in: int = 0,
    estimate: tuple[float, float] | None = None,
) -> Axes:
    """The walkers of an ensemble over steps: median, the middle 50 % and 90 %. What is left out is grey.

    Args:
        steps: (T,).
        draws: (T, W).
        n_burn_in: recorded steps that are left out of the posterior.
        estimate: mean and standard deviation for the title.
    """
    for low, high, alpha in BANDS:
        band = np.quantile(draws, (low, high), axis=1)
        axes.fill_between(steps, band[0], band[1], color=COLOURS[0], alpha=alpha, lw=0)
    axes.plot(steps, np.median(draws, axis=1), color=COLOURS[0], lw=0.8)
    if 0 < n_burn_in < len(steps):
        axes.axvspan(float(steps[0]), float(steps[n_burn_in]), color=GREY, alpha=0.15, lw=0)
    kept = draws[n_burn_in:]
    if (shown := limits(np.quantile(kept, (0.001, 0.999), axis=1), room=0.15)) is not None:
        axes.set_ylim(*shown)  # where walkers came from may be far away
    axes.set_xlim(float(steps[0]), float(steps[-1]))
    if estimate is not None:
        axes.set_title(plain(f"{name} = {measurement(*estimate)}"), fontsize=9)
    axes.set(xlabel="step", ylabel=label(name, unit))
    return readable(axes)


def rank(axes: Axes, draws: np.ndarray, *, name: str, n_bins: int = 20) -> Axes:
    """Rank histogram of every walker among all draws: flat, up to noise, when the walkers sample one distribution.

    The band is ±2σ of the counts of correlated draws; the title says how many counts are outside: about 5 %.

    Args:
        draws: (T, W) after burn-in.
    Source: Vehtari et al. 2021, Bayesian Analysis 16, 667, sec. 4; the width of the band: `rank_counts`.
    """
    counts, sigma = rank_counts(draws, n_bins)
    expected = draws.shape[0] / n_bins
    edges = np.linspace(0.0, 1.0, n_bins + 1)
    axes.axhspan(max(expected - 2 * sigma, 0.0), expected + 2 * sigma, color=PALE, lw=0, label="expected, ± 2σ")
    for i, row in enumerate(counts):
        alpha = float(np.clip(8.0 / len(counts), 0.15, 0.8))
        axes.stairs(row, edges, color=COLOURS[0], alpha=alpha, lw=0.8, baseline=None, label=None if i else "a walker")
    axes.axhline(expected, color=COLOURS[1], lw=1.2)
    outside = np.mean(np.abs(counts - expected) > 2 * sigma)
    axes.set_title(plain(f"{name}: {100 * outside:.1f} % outside"), fontsize=9)
    axes.set(xlabel="rank among all draws", ylabel="draws in a bin", xlim=(0, 1), ylim=(0, None))
    return axes


def autocorr(axes: Axes, draws: np.ndarray, *, name: str, window: float = 8.0) -> Axes:
    """Autocorrelation over lags, averaged over walkers, with the exponential that has the same integrated time τ.

    ρ(1) = (τ − 1)/(τ + 1) of a geometric decay.

    Args:
        draws: (T, W) after burn-in.
        window: lags that are shown, in τ.
    """
    rho = autocorrelation(draws)
    tau = integrated_time(rho)
    n_lags = min(len(rho), max(int(window * tau), 10)) if np.isfinite(tau) else len(rho)
    lags = np.arange(n_lags)
    axes.axhline(0.0, color=GREY, lw=0.8)
    axes.plot(lags, rho[:n_lags], color=COLOURS[0], lw=1.4, label="measured")
    if tau > 1.0:
        geometric = ((tau - 1.0) / (tau + 1.0)) ** lags
        axes.plot(lags, geometric, color=COLOURS[1], ls="--", lw=1.2, label="exponential")
    axes.set_title(plain(f"{name}: τ = {tau:.3g} steps" if np.isfinite(tau) else f"{name}: τ n/a"), fontsize=9)
    axes.set(xlabel="lag [steps]", ylabel="autocorrelation", xlim=(0, max(n_lags - 1, 1)))
    return axes


def acceptance(axes: Axes, steps: np.ndarray, accepted: np.ndarray, *, n_burn_in: int = 0) -> Axes:
    """Fraction of accepted proposals, as means over a fiftieth of the steps; the title gives that after burn-in."""
    size = max(1, len(accepted) // 50)
    n = len(accepted) // size
    means = accepted[: n * size].reshape(n, size).mean(axis=1)
    axes.plot(steps[: n * size].reshape(n, size).mean(axis=1), means, color=COLOURS[0], lw=1.4)
    if 0 < n_burn_in < len(steps):
        axes.axvspan(float(steps[0]), float(steps[n_burn_in]), color=GREY, alpha=0.15, lw=0)
    axes.set_title(f"acceptance = {accepted[n_burn_in:].mean():.3f}", fontsize=9)
    axes.set(xlabel="step", ylabel="accepted proposals", ylim=(0, 1), xlim=(float(steps[0]), float(steps[-1])))
    return axes


def corner(
    figure: FigureBase,
    draws: np.ndarray,
    names: Sequence[str],
    units: Sequence[str],
    *,
    estimates: Sequence[tuple[float, float]] | None = None,
    truth: Sequence[float] | None = None,
) -> np.ndarray:
    """Every parameter against every other: contours around 68 and 95 % of the draws, histograms on the diagonal.

    Args:
        draws: (N, d).
        estimates: mean and error of each, for the titles.
        truth: values to mark.

    Returns:
        axes (d, d); those above the diagonal are None.
    """
    d = draws.shape[1]
    places = figure.subplots(d, d, squeeze=False, sharex="col", gridspec_kw={"hspace": 0.05, "wspace": 0.05})
    ranges = [limits(np.quantile(draws[:, i], (0.001, 0.999))) or (0.0, 1.0) for i in range(d)]
    for row in range(d):
        for column in range(d):
            axes = places[row, column]
            if column > row:
                axes.remove()
                places[row, column] = None
                continue
            dress(axes)
            if column == row:
                axes.hist(draws[:, row], bins=40, range=ranges[row], color=COLOURS[0], histtype="stepfilled", alpha=0.6)
                axes.set_ylim(0, None)
                axes.spines["left"].set_visible(False)
                if estimates is not None:
                    axes.set_title(plain(f"{names[row]} = {measurement(*estimates[row])}"), fontsize=9)
            else:
                _contours(axes, draws[:, column], draws[:, row], ranges[column], ranges[row])
                if truth is not None:
                    axes.axhline(truth[row], color=COLOURS[1], lw=0.9)
            if truth is not None:
                axes.axvline(truth[column], color=COLOURS[1], lw=0.9)
            axes.set_xlim(*ranges[column])
            few_ticks(axes, 3)
            axes.tick_params(axis="x", labelrotation=35, labelbottom=row == d - 1)
            axes.tick_params(axis="y", labelleft=column == 0 and row > 0, left=column < row)
            if column == row:
                axes.grid(visible=False, axis="y")
            if row == d - 1:
                axes.set_xlabel(label(names[column], units[column]), fontsize=9)
            if column == 0 and row > 0:
                axes.set_ylabel(label(names[row], units[row]), fontsize=9)
    return places


def _contours(axes: Axes, x: np.ndarray, y: np.ndarray, across: Range, along: Range) -> None:
    density, at_x, at_y = smoothed_histogram(x, y, across, along)
    levels = mass_levels(density, (0.954, 0.683))
    axes.set_ylim(*along)
    if len(levels) == 2:
        axes.contourf(at_x, at_y, density.T, levels=[*levels, density.max()], colors=COLOURS[0], alpha=0.25)
        axes.contourf(at_x, at_y, density.T, levels=[levels[1], density.max()], colors=COLOURS[0], alpha=0.5)
    else:
        axes.plot(x, y, ".", ms=2, color=COLOURS[0], alpha=0.4)
