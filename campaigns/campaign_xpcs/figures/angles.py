"""Contrast, offset and χ² over the angle."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from campaign_xpcs.figures.style import BLUE, GREEN, ORANGE

if TYPE_CHECKING:
    from matplotlib.figure import FigureBase


def draw_angles(
    figure: FigureBase,
    phi_deg: np.ndarray,
    contrast: tuple[np.ndarray, np.ndarray],
    offset: tuple[np.ndarray, np.ndarray],
    chi2: np.ndarray,
    counts: np.ndarray,
) -> None:
    """Three panels: contrast and offset with errors, χ² per point with the band in which 95 % of true models are."""
    axes = figure.subplots(1, 3)
    for axis, (value, error), name, colour in zip(
        axes, (contrast, offset), ("contrast", "offset"), (BLUE, GREEN), strict=False
    ):
        axis.errorbar(phi_deg, value, yerr=error, fmt="o", ms=4, color=colour, capsize=2)
        axis.set(xlabel=r"$\phi$ [degree]", ylabel=name)
    band = 2.0 * np.sqrt(2.0 / np.maximum(counts, 1))
    axes[2].fill_between(phi_deg, 1.0 - band, 1.0 + band, color="0.85")
    axes[2].plot(phi_deg, chi2 / np.maximum(counts, 1), "o", ms=4, color=ORANGE)
    axes[2].set(xlabel=r"$\phi$ [degree]", ylabel=r"$\chi^2$ per point")
    axes[2].set_title("grey: 95 % of true models", fontsize=9)
    for axis in axes:
        axis.grid(color="0.9")
        axis.set_axisbelow(True)
        if len(phi_deg) == 1:
            axis.set_xticks(phi_deg)
