"""D(t) and the shear rate over time, with bands of one standard error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from campaign_xpcs.figures.style import BLUE, LABELS, ORANGE

if TYPE_CHECKING:
    from matplotlib.figure import FigureBase


def draw_rates(
    figure: FigureBase,
    times_s: np.ndarray,
    rates: Mapping[str, tuple[np.ndarray, np.ndarray]],
    truth: Mapping[str, np.ndarray] | None = None,
) -> None:
    """One panel a rate; the band is value ± error. Time 0 is left out: a power of it may be infinite.

    Args:
        rates: "D", "gamma_dot" → (value, error), (N,).
        truth: the same without errors, of simulated data.
    """
    axes = figure.subplots(1, len(rates), squeeze=False)[0]
    for axis, (name, (value, error)), colour in zip(axes, rates.items(), (BLUE, ORANGE), strict=False):
        has_error = bool((error > 0).any())
        axis.fill_between(times_s[1:], (value - error)[1:], (value + error)[1:], color=colour, alpha=0.25, lw=0)
        axis.plot(times_s[1:], value[1:], color=colour, label="fit ± 1 standard error" if has_error else "fit")
        if truth is not None and name in truth:
            axis.plot(times_s[1:], truth[name][1:], color="k", ls="--", lw=1, label="truth")
        axis.set(xlabel=r"$t$ [s]", ylabel=LABELS.get(name, name))
        known = [value[1:], value[1:] - error[1:], value[1:] + error[1:]]
        axis.set_ylim(*_limits([*known, *([truth[name][1:]] if truth is not None and name in truth else [])]))
        axis.grid(color="0.9")
        axis.set_axisbelow(True)
        axis.legend(frameon=False, fontsize=8)


def _limits(curves: list[np.ndarray]) -> tuple[float, float]:
    """Around most of every curve: a pole at the first times does not flatten the rest."""
    low = min(float(np.percentile(one, 1)) for one in curves)
    high = max(float(np.percentile(one, 98)) for one in curves)
    margin = 0.05 * max(high - low, 1e-12 * max(abs(high), 1.0))
    return low - margin, high + margin
