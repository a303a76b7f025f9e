"""Draw docs/images/quickstart.png from the results of manifests/quickstart.json.

python docs/pictures.py [DIRECTORY [FILE]]: the campaign is run there first if it is not there yet.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import campaign
from campaign.analysis.handle import Handle
from campaign.report import figures
from campaign.report.canvas import COLOURS, GREY, dress, few_ticks, label, new_figure, png, whole_steps
from campaign.report.source import StageSource, stage_source, where

ROOT = Path(__file__).resolve().parents[1]
SCALE, DATA = "problem.cov_scale", "problem.bootstrap"


def quickstart(handle: Handle) -> Figure:
    """One model, thousands of fits: how they came down, where they ended, and whether the stated errors are right."""
    stage = stage_source(handle, handle.table(), "fit")
    figure = new_figure((11.4, 3.7))
    left, middle, right = (dress(axes) for axes in figure.subplots(1, 3, width_ratios=(1.15, 1.0, 1.0)))
    descents(left, stage)
    fits(middle, stage, "H0", "Om0")
    figures.pulls(right, pulls(stage), name="resampled data")
    right.set_xlabel("(fit − fit to published data) / σ")
    right.legend(frameon=False, fontsize=8, loc="upper right", handlelength=1.2)
    for axes, letter in zip((left, middle, right), "abc", strict=True):
        axes.set_title(letter, loc="left", fontsize=10, fontweight="bold")
    return figure


def descents(axes, stage: StageSource) -> None:
    """The loss of every run above the least of its group, over steps."""
    rows = stage.rows
    least = rows.groupby([SCALE, DATA])["loss"].transform("min").to_numpy()
    excess = [loss - low for loss, low in zip(stage.arrays("loss", rows), least, strict=True)]
    lines = [(np.arange(len(y)), np.where(y > 0, y, np.nan)) for y in excess]
    figures.lines_by_axis(axes, lines, rows["start.H0"].tolist(), name="H0 at the start", unit="km/s/Mpc")
    axes.set(yscale="log", ylim=(1e-8, 1e6), xlim=(0, 14), xlabel="step", ylabel="loss − least loss")
    axes.set_title(f"{len(rows):,} fits", fontsize=9)
    whole_steps(axes)


def fits(axes, stage: StageSource, x: str, y: str) -> None:
    """Best fits to resampled data, and the 95 % ellipses that the fit to the published data states."""
    best = stage.best
    for i, (scale, rows) in enumerate(best.groupby(SCALE)):
        published = where(rows, rows[DATA] == 0)
        middle = published[[f"theta.{x}", f"theta.{y}"]].to_numpy(float)[0]
        (covariance,) = stage.arrays("covariance", published)
        names = [p.name for p in next(iter(stage.programs.values())).free]
        index = [names.index(x), names.index(y)]
        root = np.sqrt(-2.0 * np.log(1.0 - 0.954)) * np.linalg.cholesky(covariance[np.ix_(index, index)])
        turn = np.linspace(0.0, 2.0 * np.pi, 200)
        axes.plot(*(middle[:, None] + root @ [np.cos(turn), np.sin(turn)]), color=COLOURS[i], lw=1.2)
        axes.plot(rows[f"theta.{x}"], rows[f"theta.{y}"], ".", ms=4, color=COLOURS[i], label=f"covariance × {scale:g}")
    axes.plot(*middle, "+", ms=9, color=GREY, zorder=5)
    axes.set(xlabel=label(x, stage.unit(f"theta.{x}")), ylabel=label(y, stage.unit(f"theta.{y}")))
    axes.set_title(f"{len(best)} best fits", fontsize=9)
    axes.legend(frameon=False, fontsize=8)
    few_ticks(axes, 4)


def pulls(stage: StageSource) -> np.ndarray:
    """(fit to resampled data − fit to published data) / stated error, for every parameter, at covariance × 1."""
    best = stage.best[stage.best[SCALE] == 1.0].set_index(DATA)
    columns = [f"theta.{name}" for name in stage.estimated]
    errors = best[[f"stderr.{name}" for name in stage.estimated]].to_numpy(float)
    theta = best[columns].to_numpy(float)
    published = best.loc[0, columns].to_numpy(float)
    return ((theta - published) / errors)[best.index != 0].ravel()


def main() -> None:
    directory = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "results" / "quickstart")
    target = Path(sys.argv[2] if len(sys.argv) > 2 else ROOT / "docs" / "images" / "quickstart.png")
    if not (directory / "plan").exists():
        campaign.submit(ROOT / "manifests" / "quickstart.json", directory)
    target.write_bytes(png(quickstart(campaign.open(directory))))


if __name__ == "__main__":
    main()
