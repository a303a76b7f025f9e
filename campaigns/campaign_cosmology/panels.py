"""What `campaign report` draws of a cosmology run: measured distances next to its own. No JAX before it is drawn."""

from __future__ import annotations

from fnmatch import fnmatch
from typing import TYPE_CHECKING, Any

from campaign.science import Panel, RunSource

if TYPE_CHECKING:
    from matplotlib.figure import Figure, FigureBase

OURS = ("problem.name=cosmology", "problem.blind=None")  # blinded parameters do not give the model's distances


def bao(run: RunSource, figure: FigureBase) -> Figure:
    """BAO distances over r_d less those of the run's best fit [%]."""
    from campaign_cosmology.figures import bao_residuals

    return bao_residuals(_fit(run), _data(run, "bao*"))


def hubble(run: RunSource, figure: FigureBase) -> Figure:
    """Distance moduli of supernovae less those of the run's best fit [mag]."""
    from campaign_cosmology.figures import hubble_residuals

    return hubble_residuals(_fit(run), _data(run, "sn*"))


def _fit(run: RunSource) -> dict[str, dict[str, Any]]:
    """Label → parameters of the run, with its conventions."""
    from campaign_cosmology.figures import parameters

    options = run.options("problem")
    row = {f"problem.{name}": value for name, value in options.items()} | dict(run.row)
    return {str(options["model"]): parameters(row)}


def _data(run: RunSource, pattern: str) -> str:
    return next(name for name in run.options("problem")["data"] if fnmatch(name, pattern))


PANELS = (
    Panel(
        name="bao-residuals",
        title="BAO distances less the best fit",
        of="run",
        needs=(*OURS, "problem.data=bao*", "theta.H0"),
        draw=bao,
    ),
    Panel(
        name="hubble-residuals",
        title="Supernovae less the best fit",
        of="run",
        needs=(*OURS, "problem.data=sn*", "theta.H0"),
        draw=hubble,
    ),
)
