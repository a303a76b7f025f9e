"""Δχ² along one parameter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from campaign_cosmology.figures.style import COLOURS, LABELS, STYLES, panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def profile(
    curves: Mapping[str, tuple[np.ndarray, np.ndarray]], name: str = "k_sat", mark: Mapping[str, float] | None = None
) -> Figure:
    """Δχ² along one parameter, from the least of each curve.

    Args:
        curves: label → (values of the parameter (n,), chi2 (n,)).
        mark: text → value: vertical lines.
    """
    figure, axes = panels(1, 1, width=6.0, height=3.8)
    axis = axes.flat[0]
    for i, (label, (x, chi2)) in enumerate(curves.items()):
        order = np.argsort(x)
        axis.plot(x[order], (chi2 - chi2.min())[order], color=COLOURS[i], ls=STYLES[i], label=label)
    low, high = (f(f(x) for x, _ in curves.values()) for f in (min, max))
    top = max(float(np.ptp(chi2)) for _, chi2 in curves.values())
    axis.set(xlabel=LABELS.get(name, name), ylabel=r"$\Delta\chi^2$", xlim=(low, high), ylim=(0, min(top, 12.0)))
    for level, text in ((1.0, "68 %"), (3.84, "95 %")):
        axis.axhline(level, color="0.6", lw=0.8)
        axis.annotate(text, (high, level), (-3, 2), textcoords="offset points", ha="right", color="0.35", fontsize=8)
    for text, value in (mark or {}).items():
        axis.axvline(value, color="0.6", lw=0.8, ls=":")
        axis.annotate(text, (value, axis.get_ylim()[1]), (3, -10), textcoords="offset points", color="0.35", fontsize=8)
    axis.legend(frameon=False, fontsize=9)
    return figure
