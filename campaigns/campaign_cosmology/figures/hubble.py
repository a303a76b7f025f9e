"""Distance moduli of supernovae and fits, less those of one fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from campaign_cosmology.data.tables import table
from campaign_cosmology.figures.style import COLOURS, STYLES, legend_above, panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def hubble_residuals(fits: Mapping[str, Mapping[str, Any]], data: str = "sn") -> Figure:
    """Distance moduli of supernovae less those of the first fit [mag]; each fit with its own best offset M.

    Error bars are those of the residuals with M fitted, √(C_ii − 1/(1ᵀC⁻¹1)): what supernovae have in common is in M.
    """
    from campaign_cosmology.api.theory import predictions

    measured = table(data)
    weights = np.linalg.inv(measured.covariance).sum(axis=0)

    def centred(mu: np.ndarray) -> np.ndarray:
        """Less the offset that fits the data best."""
        return mu - weights @ (mu - measured.value) / weights.sum()

    figure, axes = panels(1, 1, width=6.4, height=3.4)
    axis = axes.flat[0]
    order = np.argsort(measured.z)
    reference = centred(predictions(next(iter(fits.values())), measured))
    for i, (label, fit) in enumerate(fits.items()):
        mu = centred(predictions(fit, measured)) - reference
        axis.plot(measured.z[order], mu[order], color=COLOURS[i], ls=STYLES[i], label=label)
    axis.errorbar(
        measured.z,
        measured.value - reference,
        np.sqrt(np.diag(measured.covariance) - 1.0 / weights.sum()),
        fmt="o",
        color="black",
        ms=3.5,
        capsize=2,
        lw=1.2,
        label=measured.title.partition(",")[0],
    )
    axis.set(xscale="log", xlabel="redshift", ylabel=f"difference from {next(iter(fits))} [mag]")
    axis.set_xticks([z for z in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0) if z >= 0.9 * measured.z.min()])
    axis.xaxis.set_major_formatter("{x:g}")
    axis.minorticks_off()
    legend_above(figure, axis)
    return figure
