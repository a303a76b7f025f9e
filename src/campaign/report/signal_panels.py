"""Drawing of signals: by components, as one summary, or both, in a readable unit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from campaign.report.canvas import COLOUR_MAP, COLOURS, GREY, few_ticks, grid_of, label, plain, shape_of, whole_steps
from campaign.report.panels import Panel
from campaign.report.signals import Recipe, Signal, signal
from campaign.report.source import RunSource
from campaign.report.units import readable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase

N_LARGEST = 3  # components beside the summary
MAX_NAMED = 8  # components in a legend; beyond, colours follow their order
_DECADES = 3.0  # that a residual spans before its axis is symmetric-logarithmic


def draw_signal(axes: Axes, signal: Signal, steps: np.ndarray, *, mode: str = "components") -> Axes:
    """A signal over steps. The title gives the final value, or the RMS of the final components.

    Args:
        mode: of a signal with components: "components", a line each; "summary", their RMS; "hybrid", the RMS and the
            components that are largest at the end.
    """
    factor, unit = readable(_last(signal.values), signal.unit)
    values = signal.values * factor
    if values.ndim == 1:
        axes.plot(steps, values, color=COLOURS[0], lw=1.4)
    else:
        _components(axes, steps, values, signal.parts, mode)
    if signal.kind != "value":
        axes.axhline(0.0, color=GREY, lw=0.9, zorder=1)
        if _spans_decades(values):
            axes.set_yscale("symlog", linthresh=float(np.nanmax(np.abs(values))) * 10.0**-_DECADES)
    elif signal.truth is not None:
        axes.axhline(signal.truth * factor, color=GREY, lw=1.0, ls="--", zorder=1)
    sign = "final RMS" if values.ndim == 2 else "final Δ" if signal.kind != "value" else "final"
    axes.set_title(plain(f"{signal.label}  {sign} = {_final(values, unit)}"), fontsize=9)
    axes.set(xlabel="step", ylabel=label(signal.label, unit))
    if axes.get_yscale() == "linear":
        few_ticks(axes, 4)
    return whole_steps(axes)


def signals_panel(recipes: Sequence[Recipe], *, name: str = "signals", title: str = "Signals") -> Panel:
    """A panel that draws signals side by side, as their recipes say."""

    def draw(run: RunSource, figure: FigureBase) -> None:
        for axes, recipe in zip(grid_of(figure, len(recipes)), recipes, strict=True):
            draw_signal(axes, signal(recipe, run), run.steps, mode=recipe.mode)

    rows, columns = shape_of(len(recipes))
    size = (3.4 * columns, 2.6 * rows)
    return Panel(name=name, title=title, of="run", needs=("trace.loss",), draw=draw, size=size)


def _components(axes: Axes, steps: np.ndarray, values: np.ndarray, parts: Sequence[str], mode: str) -> None:
    import matplotlib

    k = values.shape[1]
    names = [plain(part) for part in parts]
    if mode == "components":
        colours: Any = COLOURS if k <= len(COLOURS) else matplotlib.colormaps[COLOUR_MAP](np.linspace(0.0, 0.95, k))
        for i in range(k):
            axes.plot(steps, values[:, i], color=colours[i], lw=1.1, label=names[i])
    else:
        rms = np.sqrt(np.mean(values**2, axis=1))
        axes.plot(steps, rms, color="black", lw=2.0, label="RMS")
        if mode == "hybrid":
            last = np.nan_to_num(np.abs(_last(values)), nan=-1.0)
            for n, i in enumerate(np.argsort(-last)[:N_LARGEST]):
                axes.plot(steps, values[:, i], color=COLOURS[n], lw=1.0, label=names[i])
    if mode != "components" or k <= MAX_NAMED:
        axes.legend(frameon=False, fontsize=7)


def _last(values: np.ndarray) -> np.ndarray:
    return values[-1] if len(values) else np.full(values.shape[1:], np.nan)


def _final(values: np.ndarray, unit: str) -> str:
    last = np.atleast_1d(_last(values))
    last = last[np.isfinite(last)]
    if not last.size:
        return "n/a"
    value = float(np.sqrt(np.mean(last**2))) if values.ndim == 2 else float(last[0])
    return f"{value:.3g}{f' {unit}' if unit else ''}"


def _spans_decades(values: np.ndarray) -> bool:
    size = np.abs(values[np.isfinite(values) & (values != 0)])
    return bool(size.size) and float(np.log10(size.max() / size.min())) > _DECADES
