"""Best fits to resampled data against the ellipses of the Fisher matrix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from campaign_cosmology.figures.style import COLOURS, LABELS, MASS, STYLES, UNITS, legend_above, panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def bootstrap_scatter(
    best: Mapping[str, np.ndarray], centre: Mapping[str, float], covariance: np.ndarray, names: Sequence[str]
) -> Figure:
    """Best fits to resampled data, with the 68 and 95 % ellipses of the Fisher matrix around the fit to the real data.

    Args:
        best: parameter → best fits (n,).
        centre: best fit to the data as published.
        covariance: of the parameters, in the order of `names`, (d, d).
    """
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    figure, axes = panels(1, len(pairs), width=3.4 * len(pairs), height=3.5)
    turn = np.linspace(0, 2 * np.pi, 200)
    circle = np.stack([np.cos(turn), np.sin(turn)])
    for axis, pair in zip(axes.flat, pairs, strict=True):
        unit = np.array([UNITS.get(name, 1.0) for name in pair])
        index = [list(names).index(name) for name in pair]
        root = np.linalg.cholesky(covariance[np.ix_(index, index)] * np.outer(unit, unit))
        middle = np.array([centre[name] for name in pair]) * unit
        points = np.stack([best[name] for name in pair]) * unit[:, None]
        squares = (np.linalg.solve(root, points - middle[:, None]) ** 2).sum(axis=0)
        axis.plot(*points, ".", ms=2.5, mew=0, alpha=0.6, color="0.5", label="best fits to resampled data")
        shares = []
        for i, mass in enumerate(MASS):
            reach = -2 * np.log(1 - mass)  # of the two-dimensional Gaussian
            x, y = middle[:, None] + np.sqrt(reach) * root @ circle
            axis.plot(x, y, color=COLOURS[i], ls=STYLES[i], lw=1.8, label=f"Fisher matrix, {100 * mass:.0f} %")
            shares.append(f"{100 * np.mean(squares < reach):.1f} %")
        axis.set_title(f"inside: {' and '.join(shares)}", fontsize=9)
        axis.set(xlabel=LABELS.get(pair[0], pair[0]), ylabel=LABELS.get(pair[1], pair[1]))
    legend_above(figure, axes.flat[0])
    return figure
