"""Series of an ensemble as median and 5-95 % band, with what was observed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from campaign_climate.data.observed import UNITS
from campaign_climate.model.observation import Observation

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#E69F00", "#D55E00", "#009E73", "#CC79A7")  # Okabe and Ito 2008
QUANTILES = (0.05, 0.5, 0.95)
Bands = Mapping[str, tuple[np.ndarray, np.ndarray]]  # label → times (T,), values (n, T)


def bands(panels: Mapping[str, Bands], observations: Mapping[str, Observation], *, since: float = 1850.0) -> Figure:
    """One panel a variable: for each label the median of the members and the band that holds 90 % of them.

    Args:
        panels: variable → label → times (T,) and values (n, T) of n members; NaN members are left out.
        observations: variable → what was observed, drawn with one standard deviation, relative to its reference period.
        since: the first time that is drawn.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6 * len(panels), 3.6), layout="constrained", dpi=150)
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for axis, (variable, own) in zip(axes, panels.items(), strict=True):
        for colour, (label, (times, values)) in zip(COLOURS, own.items(), strict=False):
            _band(axis, times, values, since, colour, label)
        if variable in observations:
            seen = observations[variable]
            axis.errorbar(
                seen.times,
                seen.anomalies,
                np.nan_to_num(seen.uncertainties),
                fmt=".",
                markersize=2.5,
                linewidth=0.5,
                color="black",
                label="observed",
                zorder=3,
            )
        period = observations[variable].reference if variable in observations else None
        relative = "" if period is None else f", relative to {period[0]:.0f}-{period[1]:.0f}"
        axis.set_title(f"{variable} [{UNITS.get(variable, '')}]{relative}", fontsize=9)
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=8)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False, fontsize=9)
    return figure


def _band(axis: Axes, times: np.ndarray, values: np.ndarray, since: float, colour: str, label: str) -> None:
    drawn = times >= since
    low, middle, high = np.nanquantile(values[:, drawn], QUANTILES, axis=0)
    axis.fill_between(times[drawn], low, high, color=colour, alpha=0.25, linewidth=0)
    axis.plot(times[drawn], middle, color=colour, linewidth=1.2, label=label)
