"""Residuals: their distribution, and how alike neighbours are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from campaign_xpcs.figures.style import BLUE, ORANGE

if TYPE_CHECKING:
    from matplotlib.figure import FigureBase


def draw_residuals(figure: FigureBase, residual: np.ndarray, autocorrelation: np.ndarray) -> None:
    """Residuals over σ beside a unit normal, and their autocorrelation along rows with ± 2/√n.

    Args:
        residual: (n_phi, N, N), NaN where a point does not count. autocorrelation: at 1, 2, … frames.
    """
    left, right = figure.subplots(1, 2)
    n = residual.shape[-1]
    own = residual[:, np.triu(np.ones((n, n), bool), 1)]
    own = own[np.isfinite(own)]
    edges = np.linspace(-5, 5, 61)
    left.hist(np.clip(own, -5, 5), bins=edges.tolist(), density=True, color=BLUE, alpha=0.5, label="residuals")
    left.plot(edges, np.exp(-0.5 * edges**2) / np.sqrt(2 * np.pi), color="k", lw=1, label="unit normal")
    left.set(xlabel=r"(data − fit)/$\sigma$", ylabel="density", yscale="log", ylim=(1e-5, 1))
    left.legend(frameon=False, fontsize=8)
    lags = np.arange(1, len(autocorrelation) + 1)
    limit = 2.0 / np.sqrt(max(len(own), 1))
    right.axhspan(-limit, limit, color="0.85", label=r"independent points, $\pm 2/\sqrt{n}$")
    right.vlines(lags, 0, autocorrelation, color=ORANGE)
    right.plot(lags, autocorrelation, "o", ms=4, color=ORANGE)
    right.axhline(0, color="k", lw=0.8)
    right.set(xlabel="frames apart", ylabel="autocorrelation of residuals")
    reach = 1.2 * max(float(np.max(np.abs(autocorrelation), initial=0.0)), 2 * limit)
    right.set_ylim(-reach, reach)
    right.legend(frameon=False, fontsize=8)
