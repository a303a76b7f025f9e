"""Drawing of signals: by components, as one summary, or both, in a readable unit; one or several in a drawing."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from campaign.report.canvas import (
    COLOUR_MAP,
    COLOURS,
    GREY,
    few_ticks,
    grid_of,
    label,
    new_figure,
    plain,
    png,
    shape_of,
    whole_steps,
)
from campaign.report.numbers import summarised
from campaign.report.panels import Panel
from campaign.report.signal_style import Mode, PanelRecipe, Rank, Style, alone
from campaign.report.signals import Recipe, Signal, SignalSet, signals
from campaign.report.source import RunSource
from campaign.report.units import readable, to_unit
from campaign.store.atomic import publish_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, FigureBase

MAX_NAMED = 8  # components in a legend; beyond, colours follow their order
SAVED_DPI = 200
SUMMARY_NAMES = {"rms": "RMS", "norm": "norm", "mean_abs": "mean |x|"}
_DECADES = 3.0  # that a residual spans before its axis is symmetric-logarithmic
_log = logging.getLogger(__name__)


def draw_signal(
    axes: Axes, signal: Signal, x: np.ndarray, *, mode: Mode = "components", style: Style | None = None, **changes: Any
) -> Axes:
    """A signal over steps or time. The title gives the final value, or the summary of the final components.

    Args:
        x: (T,).
        style: how; `mode` and further fields of it may be given one by one.
    """
    own = (style or Style(mode=mode)).model_copy(update=changes)
    return draw_signals(axes, [signal], x, style=own)


def draw_signals(
    axes: Axes, shown: Sequence[Signal], x: np.ndarray, *, style: Style | None = None, title: str | None = None
) -> Axes:
    """Several signals in one drawing and one unit; the title gives what each of them is at the end.

    A signal of another unit than the first keeps its own numbers, and its label says the unit.
    """
    style = style or Style()
    factor, unit = _scaling(shown, style)
    drawn = [(one, one.values * (factor if one.unit == shown[0].unit else 1.0)) for one in shown]
    for i, (one, values) in enumerate(drawn):
        name = plain(one.label if one.unit == shown[0].unit else f"{one.label} [{one.unit}]")
        if values.ndim == 2:
            _components(axes, x, values, one.parts, style)
        else:
            axes.plot(x, values, color=COLOURS[i % len(COLOURS)], lw=1.4, label=name if len(drawn) > 1 else None)
        if one.kind == "value" and one.truth is not None:
            axes.axhline(one.truth * factor, color=GREY, lw=1.0, ls="--", zorder=1)
    if any(one.kind != "value" for one in shown):
        axes.axhline(0.0, color=GREY, lw=0.9, zorder=1)
    _set_scale(axes, drawn, style)
    if len(drawn) > 1:
        axes.legend(frameon=False, fontsize=7)
    axes.set_title(plain(_title(drawn, unit, style, title)), fontsize=9)
    name = shown[0].label if len(shown) == 1 else title or shown[0].label
    axes.set(xlabel="time [s]" if style.x == "time" else "step", ylabel=label(name, unit))
    if axes.get_yscale() == "linear":
        few_ticks(axes, 4)
    return axes if style.x == "time" else whole_steps(axes)


def plot_signal(
    signal: Signal, x: np.ndarray, axes: Axes | None = None, *, style: Style | None = None, **changes: Any
) -> tuple[Figure, Axes]:
    """A signal on given axes, or on a figure of its own that belongs to no window: figure and axes.

    Args:
        style, changes: as for `draw_signal`: ``plot_signal(x_error, steps, mode="hybrid", unit="mas")``.
    """
    axes = grid_of(new_figure((4.8, 3.2)), 1)[0] if axes is None else axes
    draw_signal(axes, signal, x, style=style, **changes)
    return axes.figure, axes  # pyright: ignore[reportReturnType]


def plot_panels(
    found: SignalSet,
    panels: Sequence[PanelRecipe],
    *,
    columns: int = 3,
    figure: Figure | None = None,
    axes: Sequence[Axes] | None = None,
    save: str | Path | None = None,
    title_prefix: str = "",
) -> tuple[Figure | FigureBase, list[Axes]]:
    """Panels of one or several signals in a grid; panels none of whose signals is there are left out, with a log line.

    Args:
        found: the signals, of a run or from `load_signals`.
        columns: of the grid.
        figure: an empty figure to draw on; a new one when None.
        axes: where to draw instead: one for each panel.
        save: a PNG file to write as well; its folder is made.

    Returns:
        The figure, and the axes of the panels that were drawn.
    """
    kept = [(i, panel) for i, panel in enumerate(panels) if _known(panel, found)]
    if axes is None:
        rows, across = shape_of(len(kept), columns)
        figure = new_figure((3.4 * across, 2.6 * rows)) if figure is None else figure
        places = grid_of(figure, len(kept), columns=columns)
    else:
        places = [axes[i] for i, _ in kept]
        figure = figure or (places[0].figure if places else None)  # pyright: ignore[reportAssignmentType]
    for place, (_, panel) in zip(places, kept, strict=True):
        own = [found.signals[name] for name in panel.signals if name in found.signals]
        title = f"{title_prefix}{panel.title or (own[0].label if len(own) == 1 else panel.id)}"
        draw_signals(place, own, found.x(panel.x), style=panel, title=title)
    if save is not None and figure is not None:
        publish_bytes(Path(save), png(figure, dpi=SAVED_DPI))  # pyright: ignore[reportArgumentType]
    return figure, places  # pyright: ignore[reportReturnType]


def signals_panel(
    recipes: Sequence[Recipe],
    *,
    name: str = "signals",
    title: str = "Signals",
    panels: Sequence[PanelRecipe] = (),
) -> Panel:
    """A panel that draws signals side by side: one drawing a recipe, or as `panels` put them together."""
    chosen = tuple(panels) or alone(recipes)

    def draw(run: RunSource, figure: FigureBase) -> None:
        plot_panels(signals(recipes, run), chosen, figure=figure)  # pyright: ignore[reportArgumentType]

    rows, columns = shape_of(len(chosen))
    size = (3.4 * columns, 2.6 * rows)
    return Panel(name=name, title=title, of="run", needs=("trace.loss",), draw=draw, size=size)


def _known(panel: PanelRecipe, found: SignalSet) -> bool:
    missing = [name for name in panel.signals if name not in found.signals]
    if missing:
        _log.info("panel %s: there is no signal %s", panel.id, ", ".join(missing))
    return len(missing) < len(panel.signals)


def _scaling(shown: Sequence[Signal], style: Style) -> tuple[float, str]:
    """Factor and unit of a drawing, by the numbers that its signals end with."""
    unit = shown[0].unit
    if style.unit is not None and style.unit != unit:
        factor = to_unit(unit, style.unit)
        return (1.0, unit) if factor is None else (factor, style.unit)
    if style.unit is not None:
        return 1.0, unit
    return readable(np.concatenate([np.ravel(_last(one.values)) for one in shown if one.unit == unit]), unit)


def _components(axes: Axes, x: np.ndarray, values: np.ndarray, parts: Sequence[str], style: Style) -> None:
    import matplotlib

    k = values.shape[1]
    names = [plain(part) for part in parts]
    if style.mode == "components":
        colours: Any = COLOURS if k <= len(COLOURS) else matplotlib.colormaps[COLOUR_MAP](np.linspace(0.0, 0.95, k))
        for i in range(k):
            axes.plot(x, values[:, i], color=colours[i], lw=1.1, label=names[i])
    else:
        one = summarised(values, style.summary)
        axes.plot(x, one, color="black", lw=2.0, label=SUMMARY_NAMES[style.summary])
        if style.mode == "hybrid":
            for n, i in enumerate(np.argsort(-_rank(values, style.rank_by), kind="stable")[: style.n_largest]):
                axes.plot(x, values[:, i], color=COLOURS[n % len(COLOURS)], lw=1.0, label=names[i])
    if style.mode != "components" or k <= MAX_NAMED:
        axes.legend(frameon=False, fontsize=7)


def _rank(values: np.ndarray, by: Rank) -> np.ndarray:
    """How large each component is; −1 where it has no finite number."""
    size = np.nan_to_num(np.abs(values), nan=-1.0)
    if not len(size):
        return np.full(values.shape[1], -1.0)
    return {"final": lambda v: v[-1], "max": lambda v: v.max(axis=0), "rms": lambda v: (v**2).mean(axis=0)}[by](size)


def _set_scale(axes: Axes, drawn: Sequence[tuple[Signal, np.ndarray]], style: Style) -> None:
    numbers = np.concatenate([np.ravel(values) for _, values in drawn])
    scale = style.yscale
    if scale == "auto":
        is_residual = any(one.kind != "value" for one, _ in drawn)
        scale = "symlog" if is_residual and _spans_decades(numbers) else "linear"
    size = np.abs(numbers[np.isfinite(numbers) & (numbers != 0)])
    if scale == "log" and bool((numbers > 0).any()):
        axes.set_yscale("log", nonpositive="mask")
    elif scale == "symlog" and size.size:
        axes.set_yscale("symlog", linthresh=float(size.max()) * 10.0**-_DECADES)


def _title(drawn: Sequence[tuple[Signal, np.ndarray]], unit: str, style: Style, title: str | None) -> str:
    if len(drawn) == 1:
        one, values = drawn[0]
        sign = _sign(one, values, style)
        return f"{title or one.label}  {sign} = {_final(values, unit, style)}"
    sign = _sign(*drawn[0], style)
    finals = [_final(v, unit if one.unit == drawn[0][0].unit else one.unit, style) for one, v in drawn]
    return f"{title or drawn[0][0].label}  {sign} = {', '.join(finals)}"


def _sign(one: Signal, values: np.ndarray, style: Style) -> str:
    if values.ndim == 2:
        return f"final {SUMMARY_NAMES[style.summary]}"
    return "final" if one.kind == "value" else "final Δ"


def _last(values: np.ndarray) -> np.ndarray:
    return values[-1] if len(values) else np.full(values.shape[1:], np.nan)


def _final(values: np.ndarray, unit: str, style: Style) -> str:
    last = _last(values)[None]
    value = float(summarised(last, style.summary)[0])
    return f"{value:.3g}{f' {unit}' if unit else ''}" if np.isfinite(value) else "n/a"


def _spans_decades(values: np.ndarray) -> bool:
    size = np.abs(values[np.isfinite(values) & (values != 0)])
    return bool(size.size) and float(np.log10(size.max() / size.min())) > _DECADES
