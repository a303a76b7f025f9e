"""Panels of a stage: how its estimates scatter, how its runs came down, what the estimates do along an axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from campaign.report import figures
from campaign.report.canvas import COLOURS, distinct, few_ticks, grid_of, label, limits, plain, shape_of, whole_steps
from campaign.report.panels import Panel
from campaign.report.source import StageSource, where

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase

MAX_LINES = 300
MAX_PARAMETERS = 9
ROUNDING = 1e-15  # of the largest loss; differences below are rounding
MIN_HISTOGRAM = 6  # runs of a group from which a histogram says more than points


def estimates(stage: StageSource, figure: FigureBase) -> None:
    """Each estimate of the best run of each group, coloured by an axis of few values: how they scatter, with the mean
    stated error as a bar; where they are few, each with its error."""
    best, names = stage.best, stage.estimated[:MAX_PARAMETERS]
    axis = colouring_axis(stage, best)
    groups: list[Any] = [None] if axis is None else (distinct(best[axis].tolist()) or [None])
    chosen = [best if group is None else where(best, best[axis] == group) for group in groups]
    texts = [None if axis is None else plain(f"{axis} = {group}") for group in groups]
    places = grid_of(figure, len(names))
    for axes, name in zip(places, names, strict=True):
        if len(best) < MIN_HISTOGRAM * len(groups):
            _points(axes, chosen, name, texts)
        else:
            _histograms(axes, chosen, name, texts)
        axes.set_xlabel(label(name, stage.unit(f"theta.{name}")))
        axes.set_title(plain(_spread(best, name) if len(groups) == 1 else name), fontsize=9)
        few_ticks(axes, 4)
    if len(groups) > 1:
        handles = places[0].get_legend_handles_labels()
        figure.legend(*handles, loc="outside upper center", ncols=min(len(groups), 4), frameon=False, fontsize=8)


def _histograms(axes: Axes, chosen: Sequence[pandas.DataFrame], name: str, texts: Sequence[str | None]) -> None:
    values = [rows[f"theta.{name}"].to_numpy(float) for rows in chosen]
    every = np.concatenate(values)
    shown = limits(np.quantile(every[np.isfinite(every)], (0.002, 0.998)), room=0.1)
    bins = int(np.clip(2.0 * (len(every) / len(chosen)) ** 0.5, 8, 60))
    style = {"bins": bins, "range": shown}
    for i, theta in enumerate(values):
        axes.hist(theta, **style, color=COLOURS[i], alpha=0.15, histtype="stepfilled")
        axes.hist(theta, **style, color=COLOURS[i], lw=1.5, histtype="step", label=texts[i])
    top = axes.get_ylim()[1]
    for i, rows in enumerate(chosen):
        bar = {"xerr": rows[f"stderr.{name}"].mean(), "color": COLOURS[i], "capsize": 3, "lw": 1.8, "zorder": 4}
        axes.errorbar(np.nanmean(values[i]), top * (1.06 + 0.07 * i), **bar)
    axes.set_ylabel("fits")


def _points(axes: Axes, chosen: Sequence[pandas.DataFrame], name: str, texts: Sequence[str | None]) -> None:
    first = 0
    for i, rows in enumerate(chosen):
        at = first + np.arange(len(rows))
        style = {"fmt": "o", "ms": 4, "capsize": 3, "lw": 1.4, "color": COLOURS[i]}
        axes.errorbar(rows[f"theta.{name}"], at, xerr=rows[f"stderr.{name}"], label=texts[i], **style)
        first += len(rows)
    axes.set(ylim=(first - 0.5, -0.5), ylabel="run")
    axes.tick_params(left=False, labelleft=False)


def paths(stage: StageSource, figure: FigureBase) -> None:
    """Loss of many runs over steps, above the least of their group: a line a run, coloured by the axis that varies
    most."""
    good, by = stage.good, list(stage.grouping)
    rows = good.iloc[np.unique(np.linspace(0, len(good) - 1, min(MAX_LINES, len(good))).astype(int))]
    least = good.groupby(by, dropna=False)["loss"].transform("min") if by else np.full(len(good), good["loss"].min())
    least = dict(zip(good.index, least, strict=True))
    lines = []
    for (index, _), loss in zip(rows.iterrows(), stage.arrays("loss", rows), strict=True):
        excess = loss - min(least[index], np.nanmin(loss)) if len(loss) else loss
        lines.append((np.arange(len(loss)), np.where(excess > 0, excess, np.nan)))
    axis = _line_axis(stage, rows)
    axes = grid_of(figure, 1)[0]
    values = rows[axis].tolist() if axis else [None] * len(rows)
    figures.lines_by_axis(axes, lines, values, name=axis or "", unit=stage.unit(axis) if axis else "")
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    axes.set_ylim(max(low, high * ROUNDING), high)
    reached = [int(np.argmax(~(y > high * ROUNDING))) or len(y) - 1 for _, y in lines if len(y)]
    axes.set_xlim(0, max(reached, default=1) or 1)
    axes.set(xlabel="step", ylabel="loss − least loss of its group")
    whole_steps(axes)
    said = f"{len(rows):,} of {len(stage.rows):,} runs"
    axes.annotate(said, (1, 1), (-4, -4), "axes fraction", "offset points", ha="right", va="top", fontsize=8)


def along(stage: StageSource, figure: FigureBase) -> None:
    """Each estimate with its error along the numerical axis with the most values, for the best run of each group."""
    best, axis = stage.best, stage.numerical_axis or ""
    colour = colouring_axis(stage, best)
    groups: list[Any] = [None] if colour in (None, axis) else (distinct(best[colour].tolist()) or [None])
    names = stage.estimated[:MAX_PARAMETERS]
    places = grid_of(figure, len(names))
    for axes, name in zip(places, names, strict=True):
        for i, group in enumerate(groups):
            rows = best if group is None else where(best, best[colour] == group)
            text = None if group is None else plain(f"{colour} = {group}")
            style = {"fmt": "o", "ms": 2.5, "color": COLOURS[i], "lw": 0.8, "alpha": 0.8, "label": text}
            axes.errorbar(rows[axis], rows[f"theta.{name}"], rows[f"stderr.{name}"], **style)
        axes.set(xlabel=label(axis, stage.unit(axis)), ylabel=label(name, stage.unit(f"theta.{name}")))
        few_ticks(axes, 4)
    if len(groups) > 1:
        handles = places[0].get_legend_handles_labels()
        figure.legend(*handles, loc="outside upper center", ncols=min(len(groups), 4), frameon=False, fontsize=8)


def colouring_axis(stage: StageSource, rows: pandas.DataFrame) -> str | None:
    """The axis of problem, engine or tags with two to six values in some rows; of several, that with the most."""
    counts = {a: len(distinct(rows[a].tolist()) or []) for a in stage.grouping}
    few = {axis: n for axis, n in counts.items() if n > 1}
    return max(few, key=lambda axis: few[axis]) if few else None


def _line_axis(stage: StageSource, rows: pandas.DataFrame) -> str | None:
    return colouring_axis(stage, rows) or next((a for a in stage.axes if rows[a].dtype.kind in "if"), None)


def _spread(best: pandas.DataFrame, name: str) -> str:
    values, errors = best[f"theta.{name}"], best[f"stderr.{name}"]
    if len(best) < 2:
        return name
    return f"{name}: scatter {values.std():.2g}, stated error {errors.mean():.2g}"


def _size(width: float, height: float):
    def size(stage: StageSource) -> tuple[float, float]:
        rows, columns = shape_of(min(len(stage.estimated), MAX_PARAMETERS))
        return width * columns, height * rows + 0.4

    return size


PANELS = (
    Panel(
        name="estimates",
        title="How the estimates scatter",
        of="stage",
        needs=("theta.*", "stderr.*", "axis:any"),
        draw=estimates,
        size=_size(3.2, 2.5),
    ),
    Panel(
        name="paths",
        title="How the loss came down",
        of="stage",
        needs=("trace.loss[step]", "trace.theta[step,parameter]"),
        draw=paths,
        size=(6.4, 3.6),
    ),
    Panel(
        name="along",
        title="Estimates along an axis",
        of="stage",
        needs=("theta.*", "stderr.*", "axis:number"),
        draw=along,
        size=_size(3.2, 2.5),
    ),
)
