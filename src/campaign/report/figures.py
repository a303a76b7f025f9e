"""Drawings that every science uses. Each takes data and an axes (or figure), draws, and gives it back.

Nothing here knows of campaigns, reads a file or touches pyplot. Labels carry units, titles the final value.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from campaign.analysis.measurement import measurement
from campaign.report.canvas import (
    COLOUR_MAP,
    COLOURS,
    GREY,
    PALE,
    distinct,
    label,
    legend_above,
    plain,
    readable,
    whole_steps,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def trace(
    axes: Axes, steps: np.ndarray, values: np.ndarray, *, name: str, unit: str = "", error: float | None = None
) -> Axes:
    """One quantity over steps, with ±1σ about its final value, which the title gives.

    Args:
        steps: (T,).
        values: (T,).
        error: standard error of the final value, or None.
    """
    axes.plot(steps, values, color=COLOURS[0], lw=1.4, marker="o", ms=2.5 if len(steps) < 60 else 0)
    final = float(values[-1]) if len(values) else float("nan")
    if error is not None and np.isfinite(error):
        axes.axhspan(final - error, final + error, color=COLOURS[0], alpha=0.15, lw=0)
    axes.set_title(plain(f"{name} = {measurement(final, error)}"), fontsize=9)
    axes.set(xlabel="step", ylabel=label(name, unit))
    return readable(axes)


def decrease(axes: Axes, steps: np.ndarray, loss: np.ndarray) -> Axes:
    """How far the loss is above its least value, on a logarithmic scale; the title gives the final loss."""
    excess = loss - np.nanmin(loss)
    above = np.where(excess > 0, excess, np.nan)
    axes.plot(steps, above, color=COLOURS[0], lw=1.4, marker="o", ms=2.5 if len(steps) < 60 else 0)
    if np.isfinite(above).any():
        axes.set_yscale("log")
    axes.set_title(f"loss = {measurement(float(loss[-1]))}", fontsize=9)
    axes.set(xlabel="step", ylabel="loss − least loss")
    return whole_steps(axes)


def lines_by_axis(
    axes: Axes, lines: Sequence[tuple[np.ndarray, np.ndarray]], values: Sequence[Any], *, name: str, unit: str = ""
) -> Axes:
    """A line a run, coloured by the value of an axis: a legend for few values, a colour bar for many numbers.

    Args:
        lines: x (T,) and y (T,) of each run; the lengths may differ.
        values: of the axis, one a run.
    """
    from matplotlib.collections import LineCollection

    drawn = [(np.column_stack(line), value) for line, value in zip(lines, values, strict=True) if len(line[0]) > 1]
    alpha = float(np.clip(20.0 / max(len(drawn), 1), 0.12, 1.0))
    segments, shown = [s for s, _ in drawn], [v for _, v in drawn]
    groups = distinct(shown)
    if groups is not None or not all(isinstance(v, int | float) for v in shown):
        for i, group in enumerate(groups or [None]):
            own = [s for s, v in drawn if groups is None or v == group]
            colour = COLOURS[i % len(COLOURS)]
            axes.add_collection(LineCollection(own, colors=colour, alpha=alpha, lw=0.9))
            if groups and len(groups) > 1:
                axes.plot([], [], color=colour, label=plain(f"{name} = {_text(group)}{f' {unit}' if unit else ''}"))
        if groups and len(groups) > 1:
            legend_above(axes, 3)
    else:
        collection = LineCollection(segments, cmap=COLOUR_MAP, alpha=alpha, lw=0.9)
        collection.set_array(np.asarray(shown, np.float64))
        axes.add_collection(collection)
        bar = axes.figure.colorbar(collection, ax=axes, label=label(name, unit))
        bar.solids.set_alpha(1.0)
        bar.ax.tick_params(labelsize=8)
    axes.autoscale()
    return axes


def residuals(
    axes: Axes, x: np.ndarray, difference: np.ndarray, sigma: np.ndarray | None, *, x_label: str, y_label: str, of: str
) -> Axes:
    """Data less model with error bars, about a zero line; the title gives the sum of squares in σ."""
    axes.axhline(0.0, color=GREY, lw=1.0)
    axes.errorbar(x, difference, sigma, fmt="o", color="black", ms=3.5, capsize=2, lw=1.1)
    if sigma is not None:
        axes.set_title(plain(f"{of}: Σ(r/σ)² = {np.sum((difference / sigma) ** 2):.4g} of {len(x)} data"), fontsize=9)
    axes.set(xlabel=plain(x_label), ylabel=plain(y_label))
    return axes


def posterior_predictive(
    axes: Axes,
    x: np.ndarray,
    predictions: np.ndarray,
    data: np.ndarray | None = None,
    sigma: np.ndarray | None = None,
    *,
    x_label: str,
    y_label: str,
) -> Axes:
    """Predictions of many draws (N, T): median and the middle 90 %, with data and error bars where there are any.

    The title gives the share of the data in the band; that is 90 % when the draws contain the noise of the data.
    """
    low, middle, high = np.quantile(predictions, (0.05, 0.5, 0.95), axis=0)
    axes.fill_between(x, low, high, color=COLOURS[0], alpha=0.25, lw=0, label="5 – 95 %")
    axes.plot(x, middle, color=COLOURS[0], lw=1.4, label="median")
    if data is not None:
        axes.errorbar(x, data, sigma, fmt="o", color="black", ms=3, capsize=2, lw=1.0, label="data")
        axes.set_title(f"{100 * np.mean((data >= low) & (data <= high)):.0f} % of the data in the band", fontsize=9)
    axes.set(xlabel=plain(x_label), ylabel=plain(y_label))
    axes.legend(frameon=False, fontsize=8)
    return axes


def pulls(axes: Axes, values: np.ndarray, *, name: str) -> Axes:
    """(estimate − truth)/σ of many fits against the standard normal; the title gives the share within ±1σ (68.3 %)."""
    shown = np.clip(values[np.isfinite(values)], -5.0, 5.0)
    n_bins = int(np.clip(np.sqrt(len(shown)) * 1.2, 8, 50))
    axes.hist(shown, bins=n_bins, density=True, color=COLOURS[0], alpha=0.6, histtype="stepfilled")
    at = np.linspace(-4.0, 4.0, 200)
    axes.plot(at, np.exp(-0.5 * at**2) / np.sqrt(2 * np.pi), color=COLOURS[1], lw=1.6, label="standard normal")
    axes.axvspan(-1.0, 1.0, color=PALE, lw=0, zorder=0)
    axes.set_title(plain(f"{name}: {100 * np.mean(np.abs(shown) < 1.0):.1f} % within ± 1σ"), fontsize=9)
    axes.set(xlabel="(estimate − truth) / σ", ylabel="density", xlim=(-4, 4))
    return axes


def _text(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
