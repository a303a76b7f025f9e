"""BAO distances of data and fits, relative to one fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from campaign_cosmology.data.tables import table
from campaign_cosmology.figures.style import COLOURS, RATIOS, STYLES, legend_above, panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def bao_residuals(fits: Mapping[str, Mapping[str, Any]], data: str = "bao_ani") -> Figure:
    """Measured distances over r_d and those of further fits, relative to the first fit, in percent.

    Args:
        fits: label → parameter dictionary (see `parameters`).
        data: name of a BAO table.
    """
    from campaign_cosmology.api.theory import predictions

    measured = table(data)
    kinds = [kind for kind in RATIOS if kind in measured.quantity]
    figure, axes = panels(1, len(kinds), width=3.2 * len(kinds) + 0.6, height=3.1, sharey=True)
    reference, sigma = next(iter(fits.values())), np.sqrt(np.diag(measured.covariance))
    at_data = predictions(reference, measured)
    z = np.linspace(0.05, 1.05 * measured.z.max(), 60)
    for axis, kind in zip(axes.flat, kinds, strict=True):
        rows = np.array([q == kind for q in measured.quantity])
        dense = replace(
            measured, z=z, z_helio=z, quantity=(kind,) * len(z), value=0 * z, anchor=np.nan * z, covariance=np.eye(60)
        )
        curve = predictions(reference, dense)
        for i, (label, fit) in enumerate(fits.items()):
            other = curve if i == 0 else predictions(fit, dense)
            axis.plot(z, 100 * (other / curve - 1), color=COLOURS[i], ls=STYLES[i], label=label)
        percent = 100 / at_data[rows]
        axis.errorbar(
            measured.z[rows],
            (measured.value - at_data)[rows] * percent,
            sigma[rows] * percent,
            fmt="o",
            color="black",
            ms=4,
            capsize=2,
            lw=1.2,
            label=measured.title.partition(",")[0],
        )
        axis.set(xlabel="redshift", title=RATIOS[kind], xlim=(0, 1.05 * measured.z.max()))
    axes.flat[0].set_ylabel(f"difference from {next(iter(fits))} [%]")
    legend_above(figure, axes.flat[-1])
    return figure
