"""Signals of all runs of a stage: quantiles over the runs, or a line a run, coloured by an axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from campaign.report import chains, figures
from campaign.report.canvas import GREY, grid_of, label, plain, readable, shape_of
from campaign.report.numbers import summarised
from campaign.report.panels import Panel
from campaign.report.signal_style import PanelRecipe, alone
from campaign.report.signals import Recipe, Signal, signal
from campaign.report.source import RunSource, StageSource, finished_runs
from campaign.report.units import readable as readable_unit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase

MAX_RUNS = 100  # that are drawn of a stage, evenly over its rows
NAME, TITLE = "signals-of-runs", "Signals over all runs"


def draw_runs(
    axes: Axes,
    of_runs: Sequence[Signal],
    values: Sequence[Any] = (),
    *,
    how: str = "bands",
    axis: str = "",
    unit: str = "",
) -> Axes:
    """One signal of many runs over their recorded steps; of components their RMS.

    Args:
        of_runs: the same signal of each run; the lengths may differ. For quantiles a run stays where it ended.
        values: of the axis that colours lines, one a run.
        how: "bands" or "lines".
        axis, unit: of `values`, for the legend.
    """
    paths = [summarised(one.values) for one in of_runs]
    ends = np.array([path[-1] if len(path) else np.nan for path in paths])
    factor, shown = readable_unit(ends, of_runs[0].unit if of_runs else "")
    kept = [i for i, path in enumerate(paths) if np.isfinite(path).any()]
    first = of_runs[0] if of_runs else None
    if first is not None and first.kind != "value":
        axes.axhline(0.0, color=GREY, lw=0.9, zorder=1)
    if kept and how == "lines":
        lines = [(np.arange(len(paths[i])), factor * paths[i]) for i in kept]
        own = [values[i] for i in kept] if len(values) else [None] * len(kept)
        figures.lines_by_axis(axes, lines, own, name=axis, unit=unit)
    elif kept:
        together = held([factor * paths[i] for i in kept])
        chains.quantile_bands(axes, np.arange(len(together)), together, name="")
    name = first.label if first is not None else ""
    finite = factor * ends[np.isfinite(ends)]
    spread = f"{np.median(finite):.3g} median of {len(finite)}" if finite.size else "n/a"
    axes.set_title(plain(f"{name}  final = {spread}"), fontsize=9)
    axes.set(xlabel="recorded step", ylabel=label(name, shown))
    return readable(axes)


def held(paths: Sequence[np.ndarray]) -> np.ndarray:
    """Paths of different lengths as one array (T, n): each stays at its last finite value, before the first at that."""
    length = max(map(len, paths))
    out = np.empty((length, len(paths)))
    for i, path in enumerate(paths):
        good = np.flatnonzero(np.isfinite(path))
        at = np.clip(np.searchsorted(good, np.arange(length), side="right") - 1, 0, None)
        out[:, i] = path[good[at]]
    return out


def runs_panel(recipes: Sequence[Recipe], panels: Sequence[PanelRecipe] = ()) -> Panel:
    """A panel of a stage: the first signal of each drawing, over all runs that ended well."""
    chosen = tuple(panels) or alone(recipes)
    known = {recipe.name: recipe for recipe in recipes}

    def draw(stage: StageSource, figure: FigureBase) -> None:
        good = stage.good
        rows = good.iloc[np.unique(np.linspace(0, len(good) - 1, min(MAX_RUNS, len(good))).astype(int))]
        runs = [run for run in finished_runs(stage, rows) if _is_traced(run)]
        axis = next(iter(stage.grouping), None) or next(iter(stage.axes), None)
        values = [run.row.get(axis) for run in runs] if axis else []
        drawn = [panel for panel in chosen if panel.signals[0] in known]
        for axes, panel in zip(grid_of(figure, len(drawn)), drawn, strict=True):
            own = [signal(known[panel.signals[0]], run) for run in runs]
            unit = stage.unit(axis) if axis else ""
            draw_runs(axes, own, values, how=panel.of_runs, axis=axis or "", unit=unit)

    rows, columns = shape_of(len(chosen))
    return Panel(name=NAME, title=TITLE, of="stage", needs=("trace.loss",), draw=draw, size=(3.4 * columns, 2.6 * rows))


def _is_traced(run: RunSource) -> bool:
    return "loss" in run.program.arrays and len(run.steps) > 0
