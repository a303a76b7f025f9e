"""Reading the files of one run, as `campaign export` and the layout "directories" write them: NumPy and JSON alone.

Each function takes the folder, and raises `UnknownName` where the file is missing and `Damage` where it cannot be read.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from campaign.analysis import run_meta
from campaign.errors import Damage
from campaign.store.layout import RunFolder
from campaign.store.records import read_json
from campaign.store.run_files import missing, read_arrays, read_lines

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepLog:
    """diag_steps.jsonl.

    Attributes:
        lines: one a step, in order.
        is_cut: the last line was cut off and is left out.
    """

    lines: tuple[dict[str, Any], ...]
    is_cut: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """One place of a run: theta (d,) of the free parameters, the step, and the loss there."""

    theta: np.ndarray
    step: int
    loss: float


def load_trace(folder: str | Path) -> Arrays:
    """trace.npz: ``loss`` (T,), ``theta`` (T, D) and whatever else was recorded of each step or once.

    Raises:
        Damage: also where arrays over steps have different lengths.
    """
    path = _of(folder).arrays("trace")
    found = read_arrays(path)
    lengths = {name: len(found[name]) for name in ("loss", "theta") if name in found and found[name].ndim}
    if len(set(lengths.values())) > 1:
        raise Damage(f"{path} has arrays of different lengths: {lengths}", hint="export the run again")
    return found


def load_meta(folder: str | Path) -> dict[str, Any]:
    """meta.json, unknown keys too."""
    return run_meta.load_meta(_of(folder).meta)


def load_summary(folder: str | Path) -> dict[str, Any]:
    """summary.json, which is written last: without it the run, or its export, did not come to its end."""
    path = _of(folder).summary
    try:
        return read_json(path)
    except FileNotFoundError:
        raise missing(path) from None


def load_grads(folder: str | Path) -> Arrays:
    """grads.npz: ``steps`` (K,) and ``grad`` (K, D)."""
    return read_arrays(_of(folder).arrays("grads"))


def load_curvature(folder: str | Path) -> Arrays:
    """curvature.npz: ``theta_ref``, ``curv_diag`` (D,) and what else the engine said of it.

    Of another program's metric.npz, ``metric_diag`` is the curvature.
    """
    return _or_metric(_of(folder), "curvature", {"theta_ref": "theta_ref", "metric_diag": "curv_diag"})


def load_precond(folder: str | Path) -> Arrays:
    """precond.npz: ``precond``, ``lr_vec``, ``lr_scale``, ``clipped_mask``, ``floored_mask`` (D,).

    Of another program's metric.npz, ``lr_scale``.
    """
    return _or_metric(_of(folder), "precond", {"lr_scale": "lr_scale"})


def load_checkpoint(folder: str | Path, which: Literal["best", "final"] = "best") -> Checkpoint:
    """checkpoint_best.npz or checkpoint_final.npz."""
    path = _of(folder).arrays(f"checkpoint_{which}")
    found = read_arrays(path)
    try:
        return Checkpoint(theta=found["theta"], step=int(found["step"]), loss=float(found["loss"]))
    except KeyError as error:
        raise Damage(f"{path} has no array {error}", hint="export the run again") from error


def load_steps(folder: str | Path) -> StepLog:
    """diag_steps.jsonl; a last line that was cut off is left out, and `is_cut` says so."""
    lines, is_cut = read_lines(_of(folder).steps)
    return StepLog(lines=tuple(lines), is_cut=is_cut)


def _of(folder: str | Path) -> RunFolder:
    return RunFolder(Path(folder))


def _or_metric(files: RunFolder, name: str, names: dict[str, str]) -> Arrays:
    """The arrays of a file, or those of metric.npz under the names that they have in it."""
    if files.arrays(name).exists() or not files.metric.exists():
        return read_arrays(files.arrays(name))
    return {names.get(key, key): values for key, values in read_arrays(files.metric).items() if key in names}
