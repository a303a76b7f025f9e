"""Draws of a posterior: each parameter, and each pair of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from campaign_xpcs.figures.style import BLUE, ORANGE

if TYPE_CHECKING:
    from matplotlib.figure import FigureBase

_MOST = 4000  # draws that are drawn as points


def draw_posterior(
    figure: FigureBase, names: Sequence[str], draws: np.ndarray, best: Mapping[str, float] | None = None
) -> None:
    """Histograms on the diagonal, points below it; `best` is marked by lines."""
    from matplotlib.ticker import MaxNLocator

    d = len(names)
    axes = figure.subplots(d, d, squeeze=False)
    some = draws[:: max(len(draws) // _MOST, 1)]
    for i, row in enumerate(names):
        for j, column in enumerate(names):
            axis = axes[i, j]
            if j > i:
                axis.set_axis_off()
                continue
            if i == j:
                axis.hist(draws[:, i], bins=min(40, max(10, round(len(draws) ** 0.5))), color=BLUE, alpha=0.6)
                axis.set_yticks([])
            else:
                axis.plot(some[:, j], some[:, i], ".", ms=2, mew=0, color=BLUE, alpha=0.4)
                axis.yaxis.set_major_locator(MaxNLocator(3))
            if best is not None:
                axis.axvline(best[column], color=ORANGE, lw=1)
                if i != j:
                    axis.axhline(best[row], color=ORANGE, lw=1)
            axis.xaxis.set_major_locator(MaxNLocator(3))
            axis.tick_params(labelsize=6, labelbottom=i == d - 1, labelleft=j == 0 and i > 0)
            axis.set_xlabel(column if i == d - 1 else "", fontsize=8)
            axis.set_ylabel(row if j == 0 and i else "", fontsize=8)
