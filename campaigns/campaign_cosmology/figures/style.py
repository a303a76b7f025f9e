"""What all figures share: colours, marks, labels, and the frame they are drawn in.

Colours are those of Okabe and Ito (2008), which people with colour-deficient sight can tell apart; models also differ
in line style or marker.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00")
STYLES = ("-", "--", "-.", ":", (0, (6, 1, 1, 1, 1, 1)))
MARKERS = ("o", "s", "^", "D", "v")
LABELS = {
    "H0": r"$H_0$ [km s$^{-1}$ Mpc$^{-1}$]",
    "Om0": r"$\Omega_\mathrm{m}$",
    "Obh2": r"$100\,\Omega_\mathrm{b}h^2$",
    "k_sat": r"$k_\mathrm{sat}$",
    "Ok0": r"$\Omega_k$",
    "mnu": r"$m_\nu$ [eV]",
    "w0": r"$w_0$",
    "wa": r"$w_a$",
}
UNITS = {"Obh2": 100.0}  # what a parameter is multiplied by on an axis
RATIOS = {"DV_over_rd": r"$D_V/r_d$", "DM_over_rd": r"$D_M/r_d$", "DH_over_rd": r"$D_H/r_d$"}
MASS = (0.683, 0.954)  # what contours enclose


def panels(rows: int, columns: int, *, width: float, height: float, sharey: bool = False) -> tuple[Figure, np.ndarray]:
    """A figure that belongs to no window, and its axes (rows, columns)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained", dpi=150)
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False, sharey=sharey)


def legend_above(figure: Figure, axis: Axes) -> None:
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside upper center", ncols=len(labels), frameon=False, fontsize=9, markerscale=1.5
    )
