"""What all pictures share. Colours are those of Okabe and Ito (2008)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
MASKED = "0.75"
LABELS = {"D": r"$D(t)$ [Å$^2$/s]", "gamma_dot": r"$\dot\gamma(t)$ [1/s]"}


def new_figure(width: float, height: float) -> Figure:
    """A figure that belongs to no window [inches]."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained", dpi=150)
    FigureCanvasAgg(figure)
    return figure
