"""meta.json and summary.json of a run in a folder of its own: the campaign's records, and what makes them complete."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from campaign.analysis.run_meta import SCHEMA
from campaign.blinding import blind_of
from campaign.export.recorded import RecordedRun
from campaign.identity import canonical
from campaign.store.run_files import finite

COUNTS = ("n_floored", "n_clipped", "n_negative", "n_probes")
ABOUT = {
    "trace": "arrays over steps, and those at the end",
    "steps": "one line a step: loss, norms, learning rate",
    "grads": "gradients of some steps",
    "signals": "signals with units, truth and labels",
    "curvature": "curvature that the engine went by",
    "precond": "preconditioner and learning rates",
    "checkpoint_best": "place of the lowest recorded loss",
    "checkpoint_final": "place at the end",
}
_CHUNK = 1 << 20


def described(run: RecordedRun, files: Iterable[tuple[str, Path, Path]]) -> dict[str, Any]:
    """meta.json of schema `campaign-run/0`.

    Args:
        files: kind, final path and present path of each file of the folder.
    """
    known = {name: value for name, value in run.meta.items() if name not in ("schema", "crc32")}
    return finite(
        {
            "schema": SCHEMA,
            **known,
            "created_at": run.record.get("started_at"),
            "git": run.git,
            "precision": run.entry.get("precision", "float64"),
            "environment": _environment(run),
            "theta": _theta(run),
            "units": run.units,
            "objective": _objective(run),
            "optimizer": _optimizer(run),
            "seeds": _seeds(run),
            "manifest": {kind: _file(kind, path, present) for kind, path, present in files},
        }
    )


def summarised(run: RecordedRun, meta: Mapping[str, Any]) -> dict[str, Any]:
    """summary.json: the run's record, with the best recorded place, a short list of the files, and the parameters that
    are shown shifted where any are."""
    loss, gradient = run.over_steps("loss"), run.over_steps("grad_norm")
    best = None
    if loss is not None and np.isfinite(loss).any():
        best = int(np.argmin(np.where(np.isfinite(loss), loss, np.inf)))
    record = {name: value for name, value in run.record.items() if name != "crc32"}
    blind = blind_of(run.meta.get("problem") or {})
    return finite(
        {
            **record,
            **({} if blind is None else {"blinded": sorted(blind.scale)}),
            "loss_best": None if loss is None or best is None else float(loss[best]),
            "best_step": None if best is None else int(run.steps[best]),
            "grad_norm_final": float(gradient[-1]) if gradient is not None and len(gradient) else None,
            "converged": record["outcome"] == "converged",
            "param_summary": _param_summary(run),
            "manifest": {kind: one["filename"] for kind, one in meta["manifest"].items()},
        }
    )


def _param_summary(run: RecordedRun) -> dict[str, Any]:
    groups = {"init": run.meta.get("start") or {}, "final": run.record["theta"]}
    known = {name: run.record[name] for name in ("truth", "init_delta", "final_delta") if run.record.get(name)}
    return groups | known


def _environment(run: RecordedRun) -> dict[str, Any]:
    return {
        **(run.program.get("versions") or run.meta.get("versions") or {}),
        "device": run.record.get("device"),
        "host": run.record.get("host"),
        "xla_flags": run.program.get("xla_flags"),
        "x64": run.entry.get("precision", "float64") == "float64",
    }


def _theta(run: RecordedRun) -> dict[str, Any]:
    parameters = [p for p in run.program.get("parameters", ()) if p.get("free", True)]
    spec = finite({"parameters": parameters})
    own = None if run.index_map is None else run.index_map.document()
    found = {
        "dim": len(parameters),
        "dtype": run.entry.get("precision", "float64"),
        "theta_space": "primitive" if run.theta_map is None else "eigen",
        "param_spec_hash": _hash(spec),
        "index_map": own,
    }
    if run.theta_map is None:
        return found
    return found | {
        "theta_map_id": run.theta_map.get("kind"),
        "theta_map_hash": _map_hash(run),
        "whiten": run.theta_map.get("whiten"),
        "truncate_k": run.theta_map.get("truncate"),
        "primitive_index_map": own,
    }


def _map_hash(run: RecordedRun) -> str | None:
    """SHA-256 over theta_ref and the matrix of the map, as doubles; None where the run recorded no map."""
    if not {"theta_ref", "theta_map"} <= run.arrays.keys():
        return None
    parts = [np.ascontiguousarray(run.arrays[name], np.float64) for name in ("theta_ref", "theta_map")]
    return hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest()


def _objective(run: RecordedRun) -> dict[str, Any]:
    n_data = run.record["metric"].get("n_data")
    inputs = run.meta.get("inputs") or {}
    known = run.program.get("likelihood") or {}
    priors = {p["name"]: p["prior"] for p in run.program.get("parameters", ()) if p.get("free", True) and "prior" in p}
    return {
        "name": run.record["problem"],
        "noise_model": (run.meta.get("problem") or {}).get("likelihood", known.get("noise_model")),
        "reduce": known.get("reduce"),
        "prior": {name: prior for name, prior in priors.items() if prior is not None} or None,
        "n_data": None if n_data is None else int(n_data),
        "data": [{"name": name, **known} for name, known in sorted(inputs.items())],
    }


def _optimizer(run: RecordedRun) -> dict[str, Any]:
    options = {name: value for name, value in (run.meta.get("engine") or {}).items() if name != "name"}
    metrics = run.record["metric"]
    given = options.get("base_lr")
    own = {
        "name": run.record["engine"],
        "engine_version": (run.meta.get("plugin_versions") or {}).get("engine"),
        "base_lr": metrics.get("base_lr", given if isinstance(given, float) else None),
        "base_lr_source": None if given is None else given if isinstance(given, str) else "given",
        "num_steps": options.get("steps", options.get("max_steps")),
        "options": options,
    }
    counts = {name: int(metrics[name]) for name in COUNTS if metrics.get(name) is not None}
    if metrics.get("exact") is not None:
        counts["exact"] = bool(metrics["exact"])
    is_enabled = bool(run.arrays.keys() & {"precond", "lr_vec"})
    return own | ({"preconditioning": {"enabled": is_enabled, **counts}} if is_enabled or counts else {})


def _seeds(run: RecordedRun) -> dict[str, Any]:
    problem, engine = run.meta.get("problem") or {}, run.meta.get("engine") or {}
    return {
        "root": run.record["seed"],
        "replicate": run.record.get("replicate"),
        "init": problem.get("init_seed"),
        "noise": problem.get("data_seed", problem.get("seed")),
        "optimizer": engine.get("probe_seed"),
    }


def _file(kind: str, path: Path, present: Path) -> dict[str, Any]:
    state = hashlib.sha256()
    with present.open("rb") as file:
        while chunk := file.read(_CHUNK):
            state.update(chunk)
    size = present.stat().st_size
    return {
        "filename": path.name, "kind": kind, "bytes": size, "sha256": state.hexdigest(), "description": ABOUT[kind],
    }  # fmt: skip


def _hash(document: Mapping[str, Any]) -> str:
    return hashlib.sha256(canonical(document)).hexdigest()
