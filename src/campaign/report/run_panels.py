"""Panels of one run: the path of an optimiser, the draws of a sampler. For every engine that records the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from campaign.report import chains, figures
from campaign.report.canvas import COLOURS, dress, grid_of, shape_of, whole_steps
from campaign.report.panels import Panel
from campaign.report.source import RunSource

if TYPE_CHECKING:
    from matplotlib.figure import FigureBase

PATH = "trace.theta[step,parameter]"
SAMPLE = "trace.theta[step,walker,parameter]"
MAX_PARAMETERS = 12  # that are drawn of one run; more are left out, and the drawing says so
MAX_CORNER = 6
_SMALL = {"damping": "damping", "grad_norm": "cosine of gradient", "step_norm": "length of step"}


def parameters(run: RunSource, figure: FigureBase) -> None:
    """Each free parameter over steps, with its final value and error."""
    free, theta = run.program.free[:MAX_PARAMETERS], np.asarray(run.trace["theta"])
    for i, (axes, p) in enumerate(zip(grid_of(figure, len(free)), free, strict=True)):
        error = run.row.get(f"stderr.{p.name}")
        figures.trace(axes, run.steps, theta[:, i], name=p.name, unit=p.unit, error=error)
    _say_what_is_left_out(figure, run, MAX_PARAMETERS)


def convergence(run: RunSource, figure: FigureBase) -> None:
    """Loss above its least value, and what else an optimiser tells of its steps, all over steps."""
    others = [n for n in _SMALL if run.program.arrays.get(n) == ("step",)]
    axes = grid_of(figure, 1 + bool(others), columns=2)
    figures.decrease(axes[0], run.steps, np.asarray(run.trace["loss"]))
    if others:
        for name, colour in zip(others, COLOURS, strict=False):
            values = np.asarray(run.trace[name], np.float64)
            positive = np.where(values > 0, values, np.nan)
            axes[1].plot(run.steps, positive, color=colour, lw=1.3, label=_SMALL[name])
        axes[1].set(yscale="log", xlabel="step", ylabel="size")
        whole_steps(axes[1]).legend(frameon=False, fontsize=8)


def walkers(run: RunSource, figure: FigureBase) -> None:
    """Each parameter over steps: median and bands of the walkers."""
    free, theta = run.program.free[:MAX_PARAMETERS], np.asarray(run.drawn["theta"])
    for i, (axes, p) in enumerate(zip(grid_of(figure, len(free), columns=_columns(run)), free, strict=True)):
        chains.quantile_bands(
            axes,
            run.steps[:: run.stride],
            theta[:, :, i],
            name=p.name,
            unit=p.unit,
            n_burn_in=-(-run.n_burn_in // run.stride),
            estimate=_estimate(run, p.name),
        )
    _say_what_is_left_out(figure, run, MAX_PARAMETERS, _every(run))


def ranks(run: RunSource, figure: FigureBase) -> None:
    """Rank histograms of the walkers."""
    free, theta = run.program.free[:MAX_PARAMETERS], _posterior(run)
    places = grid_of(figure, len(free))
    for i, (axes, p) in enumerate(zip(places, free, strict=True)):
        chains.rank(axes, theta[:, :, i], name=p.name)
    figure.legend(
        *places[0].get_legend_handles_labels(), loc="outside upper center", ncols=2, frameon=False, fontsize=8
    )
    _say_what_is_left_out(figure, run, MAX_PARAMETERS, _every(run))


def corner(run: RunSource, figure: FigureBase) -> None:
    """The posterior, every parameter against every other."""
    free = run.program.free[:MAX_CORNER]
    theta = _posterior(run)[:, :, : len(free)]
    names, units = [p.name for p in free], [p.unit for p in free]
    chains.corner(
        figure, theta.reshape(-1, len(free)), names, units, estimates=[_estimate(run, name) for name in names]
    )
    _say_what_is_left_out(figure, run, MAX_CORNER, _every(run))


def mixing(run: RunSource, figure: FigureBase) -> None:
    """Autocorrelation of each parameter, and the share of accepted proposals. Of a long chain, of its last steps."""
    n = len(run.steps)
    begin = max(run.n_burn_in, n - n // run.stride)
    theta = _posterior(run) if run.stride == 1 else np.asarray(run.trace["theta"][begin:])
    free = run.program.free[:MAX_PARAMETERS]
    accepted = "accepted" in run.program.arrays
    places = grid_of(figure, len(free) + accepted, columns=4)
    for i, (axes, p) in enumerate(zip(places, free, strict=False)):
        chains.autocorr(axes, theta[:, :, i], name=p.name)
    places[0].legend(frameon=False, fontsize=8)
    if accepted:
        chains.acceptance(dress(places[-1]), run.steps, np.asarray(run.trace["accepted"]), n_burn_in=run.n_burn_in)
    note = f"autocorrelation of the last {n - begin:,} of {n:,} steps" if run.stride > 1 else ""
    _say_what_is_left_out(figure, run, len(run.program.free), note)


def _columns(run: RunSource) -> int:
    """Columns of a grid of long traces: three where they fill it, else two."""
    return 3 if min(len(run.program.free), MAX_PARAMETERS) % 3 == 0 else 2


def _estimate(run: RunSource, name: str) -> tuple[float, float]:
    return run.row.get(f"theta.{name}", np.nan), run.row.get(f"stderr.{name}", np.nan)


def _posterior(run: RunSource) -> np.ndarray:
    """(steps, walkers, parameters) after burn-in, as they are drawn."""
    return np.asarray(run.drawn["theta"])[-(-run.n_burn_in // run.stride) :]


def _every(run: RunSource) -> str:
    return f"one of {run.stride} steps" if run.stride > 1 else ""


def _say_what_is_left_out(figure: FigureBase, run: RunSource, most: int, more: str = "") -> None:
    n = len(run.program.free)
    notes = [f"the first {most} of {n} parameters" if n > most else "", more]
    if any(notes):
        figure.suptitle(", ".join(note for note in notes if note), fontsize=9)


def _grid_size(width: float, height: float, columns: int, extra: int = 0):
    def size(run: RunSource) -> tuple[float, float]:
        across = shape_of(min(len(run.program.free), MAX_PARAMETERS) + extra, columns)
        return width * across[1], height * across[0]

    return size


def _walkers_size(run: RunSource) -> tuple[float, float]:
    rows, columns = shape_of(min(len(run.program.free), MAX_PARAMETERS), _columns(run))
    return (3.3 if columns == 3 else 4.6) * columns, 2.4 * rows


def _corner_size(run: RunSource) -> tuple[float, float]:
    side = 1.9 * min(len(run.program.free), MAX_CORNER) + 1.0
    return side, side


OPTIMISER = (
    Panel(
        name="parameters",
        title="Parameters over steps",
        of="run",
        needs=(PATH,),
        draw=parameters,
        size=_grid_size(3.2, 2.4, 3),
    ),
    Panel(
        name="convergence",
        title="Convergence",
        of="run",
        needs=(PATH, "trace.loss[step]"),
        draw=convergence,
        size=(7.6, 3.0),
    ),
)
SAMPLER = (
    Panel(
        name="walkers",
        title="Walkers over steps",
        of="run",
        needs=(SAMPLE,),
        draw=walkers,
        size=_walkers_size,
    ),
    Panel(
        name="ranks", title="Ranks of the walkers", of="run", needs=(SAMPLE,), draw=ranks, size=_grid_size(3.0, 2.6, 3)
    ),
    Panel(name="corner", title="Posterior", of="run", needs=(SAMPLE,), draw=corner, size=_corner_size),
    Panel(
        name="mixing",
        title="Autocorrelation and acceptance",
        of="run",
        needs=(SAMPLE,),
        draw=mixing,
        size=_grid_size(2.7, 2.4, 4, 1),
    ),
)
