"""Which arrays of a run go into which file, under which names.

Each function gives the arrays of one file, or the reason why there is none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from campaign.export.recorded import RecordedRun, pieces
from campaign.store.run_files import Pieces

Arrays = dict[str, Pieces]

CURVATURE = {
    "curvature": "curv_diag",
    "curvature_raw": "curv_raw",
    "curvature_error": "curv_std_err",
    "curvature_history": "curv_history",
    "refresh_steps": "refresh_steps",
    "scale": "scale",
}
PRECOND = {
    "precond": "precond",
    "lr_vec": "lr_vec",
    "lr_scale": "lr_scale",
    "clipped": "clipped_mask",
    "floored": "floored_mask",
}
LINE = {"loss": "loss", "grad_norm": "grad_norm", "step_norm": "step_norm", "base_lr": "lr"}


def trace_arrays(run: RecordedRun, every: int = 1) -> Arrays | str:
    """Everything that has no file of its own."""
    elsewhere = {"grad"}
    elsewhere |= CURVATURE.keys() if "curvature" in run.arrays else set()
    elsewhere |= PRECOND.keys() if run.arrays.keys() & {"precond", "lr_vec"} else set()
    found = {name: pieces(array) for name, array in run.arrays.items() if name not in elsewhere}
    return found or "the stage records no arrays"


def grads(run: RecordedRun, every: int) -> Arrays | str:
    """Gradients of every so many recorded steps, and the numbers of these steps."""
    gradient = run.over_steps("grad", 1)
    if gradient is None:
        return _unrecorded("grad")
    rows = _sparse(len(run.steps), every)
    return {"steps": Pieces.of(run.steps[rows]), "grad": Pieces.of(np.asarray(run.arrays["grad"])[rows])}


def curvature(run: RecordedRun, every: int) -> Arrays | str:
    """What curvature an engine went by: at theta_ref, where the run began."""
    if "curvature" not in run.arrays and "fisher" not in run.arrays:
        return _unrecorded("curvature")
    found = {"theta_ref": Pieces.of(run.theta(run.meta.get("start") or {}))}
    if "curvature" in run.arrays:
        found |= _renamed(_refreshes(run.arrays), CURVATURE) | _names(run, "curvature")
        if (n := run.record["metric"].get("n_probes")) is not None:
            found["n_probes"] = Pieces.of(np.int64(n))
    if "fisher" in run.arrays:
        found["fim"] = pieces(run.arrays["fisher"])
    return found


def precond(run: RecordedRun, every: int) -> Arrays | str:
    """The preconditioner, and the learning rates that came of it."""
    if not run.arrays.keys() & {"precond", "lr_vec"}:
        return _unrecorded("precond")
    found = _renamed(run.arrays, PRECOND) | _names(run, "lr_vec" if "lr_vec" in run.arrays else "precond")
    base = run.record["metric"].get("base_lr")
    if "lr_scale" not in found and "lr_vec" in found and base:
        found["lr_scale"] = Pieces.of(np.asarray(run.arrays["lr_vec"]) / base)
    return found


def checkpoint_best(run: RecordedRun, every: int) -> Arrays | str:
    """The recorded place of the lowest finite loss; the first of several."""
    loss, theta = run.over_steps("loss"), run.over_steps("theta", 1)
    if loss is None or theta is None:
        return "it needs `loss` and `theta` of each step, which the run did not record"
    if not np.isfinite(loss).any():
        return "no recorded loss is finite"
    best = int(np.argmin(np.where(np.isfinite(loss), loss, np.inf)))
    return _checkpoint(theta[best], int(run.steps[best]), loss[best])


def checkpoint_final(run: RecordedRun, every: int) -> Arrays | str:
    """Where the run ended, as its summary says."""
    loss = run.record["loss"]
    return _checkpoint(run.theta(run.record["theta"]), int(run.record["n_steps"]), np.nan if loss is None else loss)


OWN_FILES: Mapping[str, Callable[[RecordedRun, int], Arrays | str]] = {
    "grads": grads,
    "curvature": curvature,
    "precond": precond,
    "checkpoint_best": checkpoint_best,
    "checkpoint_final": checkpoint_final,
}


def step_lines(run: RecordedRun, every: int) -> Iterator[dict[str, Any]]:
    """The lines of diag_steps.jsonl: step, loss, and of what was recorded grad_norm, step_norm, lr, block_grad_norms.

    The first and the last step are always among them.
    """
    columns = {key: values for name, key in LINE.items() if (values := run.over_steps(name)) is not None}
    blocks = block_norms(run)
    for row in _sparse(len(run.steps), every).tolist():
        line: dict[str, Any] = {"step": int(run.steps[row])}
        line |= {key: float(values[row]) for key, values in columns.items()}
        yield line | ({"block_grad_norms": {n: float(v[row]) for n, v in blocks.items()}} if blocks else {})


def block_norms(run: RecordedRun) -> dict[str, np.ndarray]:
    """Norm of the gradient in each block over steps, as it was recorded or from the gradient; empty without either."""
    names = () if run.index_map is None else tuple(run.index_map.blocks)
    known = run.over_steps("block_grad_norm", 1)
    if known is not None:
        own = [str(name) for name in np.asarray(run.arrays["block"])] if "block" in run.arrays else names
        own = own if len(own) == known.shape[1] else [str(i) for i in range(known.shape[1])]
        return {name: known[:, i] for i, name in enumerate(own)}
    gradient = run.over_steps("grad", 1)
    return {} if gradient is None or run.index_map is None else run.index_map.block_norms(gradient)


def _sparse(n: int, every: int) -> np.ndarray:
    """Every so many of n rows, the first and the last always."""
    return np.unique(np.r_[np.arange(0, n, every), n - 1]) if n else np.zeros(0, int)


def _names(run: RecordedRun, array: str) -> Arrays:
    """Whose numbers an array over coordinates holds: what an engine that takes the file compares with its own."""
    return {"parameter": Pieces.of(np.array(run.coordinates(len(run.arrays[array])), str))}


def _refreshes(arrays: Mapping[str, Any]) -> Mapping[str, Any]:
    """Of the refreshes, for which an engine keeps a fixed number of places, those that took place."""
    if "refresh_steps" not in arrays:
        return arrays
    n = int(np.sum(np.asarray(arrays["refresh_steps"]) >= 0))
    return {**arrays, **{name: arrays[name][:n] for name in ("refresh_steps", "curvature_history") if name in arrays}}


def _renamed(arrays: Mapping[str, Any], names: Mapping[str, str]) -> Arrays:
    return {
        new: Pieces.of(np.asarray(arrays[old]) == 1) if new.endswith("_mask") else pieces(arrays[old])
        for old, new in names.items()
        if old in arrays
    }


def _checkpoint(theta: np.ndarray, step: int, loss: float) -> Arrays:
    return {"theta": Pieces.of(theta), "step": Pieces.of(np.int64(step)), "loss": Pieces.of(np.float64(loss))}


def _unrecorded(name: str) -> str:
    return f"the run recorded no `{name}`; name it in `trace`, or export with --again"
