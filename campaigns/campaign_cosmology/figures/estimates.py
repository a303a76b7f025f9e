"""One parameter of many fits, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from campaign_cosmology.figures.style import COLOURS, LABELS, MARKERS, UNITS, legend_above, panels

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure


def best_fits(rows: Mapping[str, Mapping[str, pandas.Series]], name: str = "H0") -> Figure:
    """One parameter with its error for each choice of data and conventions, one mark a model.

    Hollow: another parameter ended at its bound, and the error is that with the other held there.

    Args:
        rows: choice → (model → row of a campaign's table).
        name: of the parameter.
    """
    figure, axes = panels(1, 1, width=6.8, height=1.0 + 0.34 * len(rows))
    axis = axes.flat[0]
    models = list(dict.fromkeys(model for choice in rows.values() for model in choice))
    for j, model in enumerate(models):
        shift = 0.22 * (j - 0.5 * (len(models) - 1))
        at = [(i + shift, choice[model]) for i, choice in enumerate(rows.values()) if model in choice]
        for inside in (True, False):
            some = [(y, row) for y, row in at if inside == (len(row["bounds_reached"]) == 0)]
            axis.errorbar(
                [row[f"theta.{name}"] * UNITS.get(name, 1.0) for _, row in some],
                [y for y, _ in some],
                xerr=[row[f"stderr.{name}"] * UNITS.get(name, 1.0) for _, row in some],
                fmt=MARKERS[j],
                color=COLOURS[j],
                mfc=COLOURS[j] if inside else "white",
                ms=5,
                capsize=2,
                lw=1.4,
                label=model if inside else f"{model}, a parameter at its bound" if some else None,
            )
    axis.set(yticks=range(len(rows)), yticklabels=list(rows), xlabel=LABELS.get(name, name))
    axis.invert_yaxis()
    axis.grid(axis="x", color="0.9")
    axis.set_axisbelow(True)
    legend_above(figure, axis)
    return figure
