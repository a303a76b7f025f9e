"""Regions of 68 and 95 % of posterior samples, parameter against parameter.

Densities are histograms, smoothed and divided by the smoothed histogram of ones: at a bound the density stays an edge
and does not leak beyond it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from campaign_cosmology.figures import COLOURS, LABELS, MASS, STYLES, UNITS, panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BINS = 60
SMOOTHING = 1.5  # bins


def posterior_contours(chains: Mapping[str, Mapping[str, np.ndarray]], names: Sequence[str]) -> Figure:
    """Two-dimensional regions of 68 and 95 % and one-dimensional densities of samples.

    Args:
        chains: label → (parameter → samples (n,)). A chain need not have every parameter.
        names: which parameters, in order.
    """
    d = len(names)
    figure, axes = panels(d, d, width=1.9 * d + 0.7, height=1.9 * d + 0.5)
    shown = {n: _range(n, chains.values()) for n in names}
    for i, row_name in enumerate(names):
        for j, column_name in enumerate(names):
            axis = axes[i, j]
            if j > i:
                axis.set_visible(False)
                continue
            for k, chain in enumerate(chains.values()):
                if not {row_name, column_name} <= set(chain):
                    continue
                x = chain[column_name] * UNITS.get(column_name, 1.0)
                if i == j:
                    _density(axis, x, shown[row_name], k)
                else:
                    _region(axis, x, chain[row_name] * UNITS.get(row_name, 1.0), shown[column_name], shown[row_name], k)
            axis.set_xlim(shown[column_name])
            if i != j:
                axis.set_ylim(shown[row_name])
            else:
                axis.set(yticks=[], ylim=(0, None))
            axis.locator_params(axis="x", nbins=4)
            _outer_labels(axis, i, j, d, names)
    handles = [
        axes[0, 0].plot([], [], color=COLOURS[k], ls=STYLES[k], label=label)[0] for k, label in enumerate(chains)
    ]
    figure.legend(handles=handles, loc="upper right", bbox_to_anchor=(0.97, 0.97), frameon=False, fontsize=11)
    return figure


def _outer_labels(axis: Axes, i: int, j: int, d: int, names: Sequence[str]) -> None:
    axis.tick_params(labelbottom=i == d - 1, labelleft=j == 0 and i > 0, labelsize=8)
    if i == d - 1:
        axis.set_xlabel(LABELS.get(names[j], names[j]))
    if j == 0 and i > 0:
        axis.set_ylabel(LABELS.get(names[i], names[i]))


def _range(name: str, chains: Any) -> tuple[float, float]:
    """What holds 99.9 % of the samples of each chain."""
    ends = np.array([np.quantile(c[name], (5e-4, 1 - 5e-4)) for c in chains if name in c]) * UNITS.get(name, 1.0)
    low, high = float(ends[:, 0].min()), float(ends[:, 1].max())
    return low - 0.02 * (high - low), high + 0.02 * (high - low)


def _smooth(histogram: np.ndarray, bins: float) -> np.ndarray:
    from scipy.ndimage import gaussian_filter

    return gaussian_filter(histogram, bins, mode="constant")


def _density(axis: Axes, x: np.ndarray, shown: tuple[float, float], k: int) -> None:
    """Histogram smoothed inside the range that has samples, so that a bound stays an edge."""
    edges = np.linspace(max(shown[0], x.min()), min(shown[1], x.max()), BINS + 1)
    histogram, _ = np.histogram(x, edges)
    density = _smooth(histogram.astype(float), SMOOTHING) / _smooth(np.ones(BINS), SMOOTHING)
    centres = 0.5 * (edges[1:] + edges[:-1])
    density /= density.sum() * (edges[1] - edges[0])
    axis.plot(centres, density, color=COLOURS[k], ls=STYLES[k], lw=1.5)
    axis.vlines(centres[[0, -1]], 0, density[[0, -1]], color=COLOURS[k], ls=STYLES[k], lw=1.5)


def _region(
    axis: Axes, x: np.ndarray, y: np.ndarray, shown_x: tuple[float, float], shown_y: tuple[float, float], k: int
) -> None:
    """Filled regions of highest density that hold `MASS` of the samples."""
    edges = [
        np.linspace(max(shown[0], v.min()), min(shown[1], v.max()), BINS + 1)
        for v, shown in ((x, shown_x), (y, shown_y))
    ]
    histogram, _, _ = np.histogram2d(x, y, edges)
    density = _smooth(histogram, SMOOTHING) / _smooth(np.ones_like(histogram), SMOOTHING)
    ranked = np.sort(density.ravel())[::-1]
    enclosed = np.cumsum(ranked) / ranked.sum()
    levels = [float(ranked[np.searchsorted(enclosed, mass)]) for mass in MASS[::-1]]
    centres = [0.5 * (e[1:] + e[:-1]) for e in edges]
    for low, alpha in ((0, 0.25), (1, 0.45)):
        axis.contourf(*centres, density.T, [levels[low], np.inf], colors=COLOURS[k], alpha=alpha)
    axis.contour(*centres, density.T, levels, colors=COLOURS[k], linestyles=[STYLES[k]] * 2, linewidths=1.0)
