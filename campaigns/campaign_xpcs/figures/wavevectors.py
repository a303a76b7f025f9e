"""A parameter over q, a series for each file, window and mode."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from campaign_xpcs.figures.style import BLUE, GREEN, ORANGE, PURPLE

if TYPE_CHECKING:
    from matplotlib.figure import FigureBase

_COLOURS = (BLUE, ORANGE, GREEN, PURPLE)
_MARKS = "osD^v"
_APART = 0.012  # of the range of q: series at one q stand side by side


def draw_wavevectors(
    figure: FigureBase,
    series: Sequence[tuple[str, np.ndarray, np.ndarray, np.ndarray]],
    label: str,
    hollow: Sequence[bool] = (),
) -> None:
    """Values with bars of one standard error.

    Args:
        series: (name, q [1/Å], value, error) of each.
        label: of the values, with their unit.
        hollow: which series have open marks; none where it is empty.
    """
    axis = figure.subplots()
    q_all = np.concatenate([q for _, q, _, _ in series]) if series else np.zeros(1)
    apart = _APART * (np.ptp(q_all) or 0.1 * abs(q_all[0]) or 1.0)
    for n, (name, q, value, error) in enumerate(series):
        face = "none" if n < len(hollow) and hollow[n] else _COLOURS[n % len(_COLOURS)]
        colour, mark = _COLOURS[n % len(_COLOURS)], _MARKS[n // len(_COLOURS) % len(_MARKS)]
        shift = apart * (n - 0.5 * (len(series) - 1))
        bars = axis.errorbar(q + shift, value, yerr=error, fmt=mark, color=colour, ms=4, capsize=2, label=name or None)
        bars.lines[0].set_markerfacecolor(face)
    axis.set(xlabel=r"$q$ [Å$^{-1}$]", ylabel=label)
    axis.grid(color="0.9")
    axis.set_axisbelow(True)
    if any(name for name, *_ in series):
        figure.legend(loc="outside right upper", frameon=False, fontsize=7)
