"""Regions of 68 and 95 % of posterior samples, parameter against parameter.

Densities are histograms, smoothed and divided by the smoothed histogram of ones: at a bound the density stays an edge
and does not leak beyond it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from campaign_cosmology.figures.style import COLOURS, LABELS, MASS, STYLES, UNITS, panels
from campaign_cosmology.model.space import MODELS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BINS = 96
SMOOTHING = 2.0  # bins
BOUNDS = {p.name: (p.lower, p.upper) for parameters in MODELS.values() for p in parameters}


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
                    _density(axis, row_name, x, k)
                else:
                    y = chain[row_name] * UNITS.get(row_name, 1.0)
                    _region(axis, (column_name, row_name), x, y, k)
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
    """What holds 99.9 % of the samples of each chain, and a little more."""
    ends = np.array([np.quantile(c[name], (5e-4, 1 - 5e-4)) for c in chains if name in c]) * UNITS.get(name, 1.0)
    low, high = float(ends[:, 0].min()), float(ends[:, 1].max())
    return low - 0.04 * (high - low), high + 0.04 * (high - low)


def _edges(name: str, x: np.ndarray) -> np.ndarray:
    """Edges of the bins: beyond the samples, but never beyond the bounds of the parameter."""
    pad = 0.08 * np.ptp(x)
    low, high = np.array(BOUNDS.get(name, (-np.inf, np.inf))) * UNITS.get(name, 1.0)
    return np.linspace(max(x.min() - pad, low), min(x.max() + pad, high), BINS + 1)


def _smooth(histogram: np.ndarray) -> np.ndarray:
    """Gaussian smoothing that loses nothing over the edges of the histogram."""
    from scipy.ndimage import gaussian_filter

    blurred = gaussian_filter(histogram.astype(float), SMOOTHING, mode="constant")
    return blurred / gaussian_filter(np.ones(histogram.shape), SMOOTHING, mode="constant")


def _places(edges: np.ndarray) -> np.ndarray:
    """Where densities are drawn: the centres of the bins, and the outermost edges."""
    places = 0.5 * (edges[1:] + edges[:-1])
    places[[0, -1]] = edges[[0, -1]]
    return places


def _density(axis: Axes, name: str, x: np.ndarray, k: int) -> None:
    edges = _edges(name, x)
    density = _smooth(np.histogram(x, edges)[0])
    density /= density.sum() * (edges[1] - edges[0])
    outline = np.concatenate([[0.0], density, [0.0]])
    axis.plot(np.pad(_places(edges), 1, mode="edge"), outline, color=COLOURS[k], ls=STYLES[k], lw=1.5)


def _region(axis: Axes, names: tuple[str, str], x: np.ndarray, y: np.ndarray, k: int) -> None:
    """Filled regions of highest density that hold `MASS` of the samples."""
    edges = [_edges(name, v) for name, v in zip(names, (x, y), strict=True)]
    density = _smooth(np.histogram2d(x, y, edges)[0])
    ranked = np.sort(density.ravel())[::-1]
    enclosed = np.cumsum(ranked) / ranked.sum()
    levels = [float(ranked[np.searchsorted(enclosed, mass)]) for mass in MASS[::-1]]
    places = [_places(e) for e in edges]
    for level, alpha in zip(levels, (0.25, 0.45), strict=True):
        axis.contourf(*places, density.T, [level, np.inf], colors=COLOURS[k], alpha=alpha)
    axis.contour(*places, density.T, levels, colors=COLOURS[k], linestyles=[STYLES[k]] * 2, linewidths=1.0)
