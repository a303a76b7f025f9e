"""From the arrays of a finished block to the records of its runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from campaign.engines.base import OK_OUTCOMES, OUTCOMES, AbstractEngine, Outcome
from campaign.engines.loop import Finished
from campaign.execute.building import Group
from campaign.store.records import nonfinite_names

GROUPS = ("theta", "stderr", "derived", "metric")


def fit_statistics(chi2: np.ndarray, n_data: np.ndarray, n_free: np.ndarray) -> dict[str, np.ndarray]:
    """dof, AIC, BIC, reduced chi2 and p-value of least-squares fits, from chi2 = r·r.

    dof = N − k; AIC = chi2 + 2k; BIC = chi2 + k ln N; p = Q(dof/2, chi2/2), NaN where dof ≤ 0.
    Checked: tests/unit/execute/test_recording.py against scipy.stats.chi2.sf.
    """
    from scipy.special import gammaincc

    dof = n_data - n_free
    with np.errstate(invalid="ignore", divide="ignore"):
        positive = dof > 0
        safe = np.where(positive, dof, 1.0)
        return {
            "dof": dof,
            "aic": chi2 + 2 * n_free,
            "bic": chi2 + n_free * np.log(n_data),
            "reduced_chi2": np.where(positive, chi2 / safe, np.nan),
            "p_value": np.where(positive, gammaincc(safe / 2, np.maximum(chi2, 0) / 2), np.nan),
        }


def block_metrics(finished: Finished, group: Group) -> dict[str, np.ndarray]:
    """Everything that stands under ``metric.`` for the runs of a group, one array a metric."""
    metrics = {k: np.asarray(v, dtype=np.float64) for k, v in finished.result.metrics.items()}
    if {"chi2", "n_data", "n_free"} <= metrics.keys():
        problem = group.batch.work.target.problem
        statistics = fit_statistics(metrics["chi2"], metrics["n_data"], metrics["n_free"] + problem.n_profiled)
        if not problem.absolute_sigma:
            statistics.pop("p_value"), statistics.pop("aic"), statistics.pop("bic")
        metrics |= statistics
    return metrics


def group_records(finished: Finished, group: Group, metrics: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    """One record for each run of a group, in lane order, without what the plan says of the run."""
    n = len(group.rows)
    result = finished.result
    names, free = group.space.names, group.free_names
    base = np.asarray(group.batch.work.target.base)[:n].copy()
    positions = [names.index(f) for f in free]
    base[:, positions] = np.asarray(result.theta)[:n]
    theta = base.tolist()
    stderr = [[None] * len(free)] * n if result.stderr is None else np.asarray(result.stderr)[:n].tolist()
    at_bound = np.asarray(result.at_bound)[:n]
    unidentified = np.asarray(result.unidentified)[:n]
    derived_names, derived = _rows(finished.derived, n)
    metric_names, metric_rows = _rows(metrics, n)
    loss, loss_initial = np.asarray(result.loss)[:n].tolist(), np.asarray(result.loss_initial)[:n].tolist()
    n_evaluations = np.asarray(result.n_evaluations)[:n].tolist()
    n_steps, outcomes = finished.n_steps[:n].tolist(), finished.outcome[:n].tolist()
    plain = _all_finite(base, loss, loss_initial, derived, metric_rows, *([] if result.stderr is None else [stderr]))
    special = at_bound.any(axis=1) | unidentified.any(axis=1) if len(free) else np.zeros(n, bool)
    engine = group.batch.work.engine
    has_remark = type(engine).remark is not AbstractEngine.remark
    records = []
    for i in range(n):
        outcome, text = OUTCOMES[outcomes[i]]
        metric = dict(zip(metric_names, metric_rows[i], strict=True))
        if outcomes[i] == Outcome.CONVERGED:
            text = (engine.remark(metric) or None) if has_remark else None
        record: dict[str, Any] = {
            "status": "ok" if outcome in OK_OUTCOMES else "failed",
            "outcome": outcome,
            "message": text,
            "loss_initial": loss_initial[i],
            "loss": loss[i],
            "n_steps": n_steps[i],
            "n_evaluations": n_evaluations[i],
            "theta": dict(zip(names, theta[i], strict=True)),
            "stderr": dict(zip(free, stderr[i], strict=True)),
            "derived": dict(zip(derived_names, derived[i], strict=True)),
            "metric": metric,
            "bounds_reached": [],
            "unidentified": [],
            "nonfinite": [],
        }
        if special[i]:
            record["bounds_reached"] = [
                f"{p}:{'lower' if side < 0 else 'upper'}" for p, side in zip(free, at_bound[i], strict=True) if side
            ]
            record["unidentified"] = [p for p, flag in zip(free, unidentified[i], strict=True) if flag]
        if not plain[i] or special[i]:
            record["nonfinite"] = nonfinite_names(record, GROUPS)
        records.append(record)
    return records


def _rows(columns: Mapping[str, np.ndarray], n: int) -> tuple[list[str], list[list[float]]]:
    """Columns → names and rows of Python numbers."""
    names = list(columns)
    if not names:
        return names, [[] for _ in range(n)]
    return names, np.stack([np.asarray(columns[k], dtype=np.float64)[:n] for k in names], axis=1).tolist()


def _all_finite(base: np.ndarray, *others: Sequence) -> np.ndarray:
    good = np.isfinite(base).all(axis=1)
    for other in others:
        values = np.asarray(other, dtype=np.float64).reshape(len(base), -1)
        good &= np.isfinite(values).all(axis=1)
    return np.asarray(good)


def failed_record(message: str) -> dict[str, Any]:
    """The record of a run that raised before it could begin."""
    return {
        "status": "failed",
        "outcome": "error",
        "message": message,
        "loss_initial": None,
        "loss": None,
        "n_steps": 0,
        "n_evaluations": 0,
        "theta": {},
        "stderr": {},
        "derived": {},
        "metric": {},
        "bounds_reached": [],
        "unidentified": [],
        "nonfinite": [],
    }
