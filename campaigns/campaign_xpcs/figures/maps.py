"""Two-time maps of one angle: data, fit, and residual over σ."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float

from campaign_xpcs.figures.style import MASKED, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure, FigureBase

_TAILS = (0.5, 99.5)  # percentiles of the colour scale
_LEAST_RESIDUAL = 3.0  # σ at the ends of the residual's scale


def draw_maps(
    figure: FigureBase,
    times_s: Float[np.ndarray, " N"],
    c2: Float[np.ndarray, "N N"],
    model: Float[np.ndarray, "N N"],
    residual: Float[np.ndarray, "N N"],
    mask: Bool[np.ndarray, "N N"],
    title: str = "",
) -> None:
    """Data and fit on one colour scale, the residual on a diverging one that is symmetric; what does not count is grey.

    Time goes up and to the right from 0 [s].
    """
    from matplotlib import colormaps

    shown = [np.ma.masked_array(a, ~mask) for a in (c2, model, residual)]
    both = np.concatenate([a.compressed() for a in shown[:2]])
    low, high = np.percentile(both, _TAILS)
    reach = max(float(np.percentile(np.abs(shown[2].compressed()), _TAILS[1])), _LEAST_RESIDUAL)
    dt = float(times_s[1] - times_s[0])
    extent = (times_s[0] - dt / 2, times_s[-1] + dt / 2) * 2
    axes = np.atleast_1d(figure.subplots(1, 3, sharex=True, sharey=True))
    names = (r"data $c_2$", "fit", r"(data − fit)/$\sigma$")
    scales = ((low, high, "viridis"), (low, high, "viridis"), (-reach, reach, "RdBu_r"))
    for axis, array, name, (least, most, colours) in zip(axes, shown, names, scales, strict=True):
        palette = colormaps[colours].with_extremes(bad=MASKED)
        image = axis.imshow(
            array.T, origin="lower", extent=extent, vmin=least, vmax=most, cmap=palette, interpolation="nearest"
        )
        axis.set_title(f"{name}, {title}" if title and name == names[0] else name, fontsize=10)
        axis.set_xlabel(r"$t_1$ [s]")
        if name != "fit":  # data and fit share a scale
            figure.colorbar(image, ax=axes[:2] if name == names[0] else axis, shrink=0.8, pad=0.02)
    axes[0].set_ylabel(r"$t_2$ [s]")


def map_figure(
    times_s: np.ndarray, c2: np.ndarray, model: np.ndarray, residual: np.ndarray, mask: np.ndarray, title: str
) -> Figure:
    """`draw_maps` on a figure of its own."""
    figure = new_figure(11.0, 4.0)
    draw_maps(figure, times_s, c2, model, residual, mask, title)
    return figure


def draw_data(figure: FigureBase, times_s: np.ndarray, c2: np.ndarray, mask: np.ndarray, title: str = "") -> None:
    """One map alone."""
    from matplotlib import colormaps

    shown = np.ma.masked_array(c2, ~mask)
    low, high = np.percentile(shown.compressed(), _TAILS)
    dt = float(times_s[1] - times_s[0])
    axis = figure.subplots()
    image = axis.imshow(
        shown.T,
        origin="lower",
        extent=(times_s[0] - dt / 2, times_s[-1] + dt / 2) * 2,
        vmin=low,
        vmax=high,
        cmap=colormaps["viridis"].with_extremes(bad=MASKED),
        interpolation="nearest",
    )
    axis.set(xlabel=r"$t_1$ [s]", ylabel=r"$t_2$ [s]", title=title)
    figure.colorbar(image, ax=axis, label=r"$c_2$")
