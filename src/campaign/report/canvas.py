"""A sheet to draw on: figures that belong to no window, colours, labels. No state is kept between drawings."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, FigureBase
if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase

# Okabe & Ito 2008, which people with colour-deficient sight can tell apart
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
GREY, PALE = "0.45", "0.9"
COLOUR_MAP = "viridis"
DPI = 150


def new_figure(size: tuple[float, float]) -> Figure:
    """An empty figure of a width and height [inches]."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained", dpi=DPI)
    FigureCanvasAgg(figure)
    return figure


def png(figure: Figure, *, dpi: float | None = None) -> bytes:
    """A figure as a PNG file, in its own resolution or another. The same figure gives the same bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None}, dpi=dpi or figure.dpi)
    return buffer.getvalue()


def shape_of(n: int, columns: int = 3) -> tuple[int, int]:
    """Rows and columns of a grid of n drawings: as few rows as `columns` allows, then as few columns."""
    rows = max(1, -(-n // columns))
    return rows, max(1, -(-n // rows))


def grid_of(figure: FigureBase, n: int, *, columns: int = 3) -> list[Axes]:
    """n axes in the grid of `shape_of`; the places that are left stay empty."""
    places = list(figure.subplots(*shape_of(n, columns), squeeze=False).flat)
    for place in places[n:]:
        place.remove()
    return [dress(axes) for axes in places[:n]]


def dress(axes: Axes) -> Axes:
    """Thin frame on two sides, small ticks, a pale grid behind what is drawn."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    axes.grid(color=PALE, lw=0.6)
    axes.set_axisbelow(True)
    return axes


def label(name: str, unit: str = "") -> str:
    """`name [unit]`, with nothing in it that would be read as mathematics."""
    return plain(f"{name} [{unit}]" if unit else name)


def plain(text: str) -> str:
    return text.replace("$", r"\$")


def few_ticks(axes: Axes, n: int = 4) -> None:
    """At most n intervals on each linear axis, so that long numbers do not run into each other."""
    from matplotlib.ticker import MaxNLocator

    for axis in (axes.xaxis, axes.yaxis):
        if axis.get_scale() == "linear":
            axis.set_major_locator(MaxNLocator(n, steps=[1, 2, 5, 10]))


def whole_steps(axes: Axes) -> Axes:
    """Ticks of steps at whole numbers."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, steps=[1, 2, 5, 10]))
    return axes


def limits(values: np.ndarray, *, room: float = 0.05) -> tuple[float, float] | None:
    """Range of the finite values with some room on both sides; None where there is none."""
    finite = np.asarray(values, np.float64)
    finite = finite[np.isfinite(finite)]
    if not finite.size:
        return None
    low, high = float(finite.min()), float(finite.max())
    pad = room * (high - low) or room * max(abs(high), 1e-12)
    return low - pad, high + pad


def legend_above(axes: Axes, n_columns: int = 4) -> None:
    """The legend between the title and the drawing, without a frame."""
    axes.legend(
        loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=n_columns, frameon=False, fontsize=8, borderaxespad=0.2,
        handlelength=1.4, columnspacing=1.2,
    )  # fmt: skip


def distinct(values: Sequence[Any], most: int = len(COLOURS)) -> list[Any] | None:
    """The different values in order of appearance (numbers sorted); None when there are more than can have colours."""
    found = list(dict.fromkeys(v for v in values if v is not None and v == v))
    if len(found) > most:
        return None
    return sorted(found) if all(isinstance(v, int | float) for v in found) else found


def readable(axes: Axes) -> Axes:
    """Whole steps, few ticks, and numbers of moderate size written out without an offset."""
    few_ticks(axes, 4)
    if _is_moderate(axes):
        axes.ticklabel_format(axis="y", useOffset=False, style="plain")
    return whole_steps(axes)


def _is_moderate(axes: Axes) -> bool:
    low, high = axes.get_ylim()
    return axes.get_yscale() == "linear" and 1e-3 <= max(abs(low), abs(high)) < 1e6
