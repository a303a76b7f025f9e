"""An image, its model, and what is left in units of its errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

if TYPE_CHECKING:
    from matplotlib.figure import FigureBase


def triptych(
    figure: FigureBase,
    data: Float[np.ndarray, "n n"],
    model: Float[np.ndarray, "n n"],
    weight: Float[np.ndarray, "n n"],
) -> FigureBase:
    """Three pictures side by side on a figure that is given: data and model on one scale of √electrons, (d − m)/σ.

    Args:
        data, model: electrons.
        weight: 1/σ; pixels of weight 0 stay white.
    """
    used = weight > 0
    shown = [np.sqrt(np.maximum(np.where(used, own, np.nan), 0.0)) for own in (data, model)]
    pulls = np.where(used, (data - model) * weight, np.nan)
    top = max(float(np.nanmax(own)) for own in shown)
    most = float(np.nanmax(np.abs(pulls)))
    titles = ("data", "model", f"(data − model)/σ, χ²/pixel = {np.nanmean(pulls**2):.3f}")
    for axes, values, title in zip(figure.subplots(1, 3), (*shown, pulls), titles, strict=True):
        is_pull = values is pulls
        limits = (-most, most) if is_pull else (0.0, top)
        drawn = axes.imshow(
            values, origin="lower", cmap="RdBu_r" if is_pull else "viridis", vmin=limits[0], vmax=limits[1]
        )
        axes.set_title(title, fontsize=9)
        axes.tick_params(labelsize=7)
        bar = figure.colorbar(drawn, ax=axes, shrink=0.8)
        bar.ax.tick_params(labelsize=7)
        bar.set_label("σ" if is_pull else "√electrons", fontsize=8)
    return figure
