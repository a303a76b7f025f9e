"""From the arrays of a finished block to the columns of its runs' records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from campaign.engines.base import AbstractEngine, Outcome, Result
from campaign.engines.loop import Finished
from campaign.space.transform import on_bounds
from campaign.store.lines import Column, Columns, Same
from campaign.work.declaration import one_run
from campaign.work.group import Group
from campaign.work.truth import against, truths

_FARTHEST = float(np.sqrt(np.finfo(float).max))
_IS_OK = np.array([outcome.is_ok for outcome in Outcome])
_LABELS = [outcome.label for outcome in Outcome]


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
    found = {**finished.result.metrics, **finished.judged}
    metrics = {k: np.asarray(v, dtype=np.float64) for k, v in found.items()}
    if {"chi2", "n_data", "n_free"} <= metrics.keys():
        problem = group.batch.work.target.problem
        statistics = fit_statistics(metrics["chi2"], metrics["n_data"], metrics["n_free"] + problem.n_profiled)
        if not problem.absolute_sigma:  # without known errors chi2 is only a sum of squares
            statistics = {name: statistics[name] for name in ("dof", "reduced_chi2")}
        metrics |= statistics
    return metrics


def group_columns(finished: Finished, group: Group, metrics: Mapping[str, np.ndarray]) -> Columns:
    """Columns of the records of a group, in lane order, without what the plan says of the runs."""
    n = len(group.rows)
    result = finished.result
    names, free = group.space.names, group.free_names
    theta = np.array(np.asarray(group.batch.work.target.base)[:n], np.float64)
    theta[:, [names.index(f) for f in free]] = np.asarray(result.theta)[:n]
    theta = on_bounds(theta, group.space.lower, group.space.upper, np)  # a later run may start there
    stderr = None if result.stderr is None else np.asarray(result.stderr)[:n]
    numbers: dict[str, Any] = {
        "loss_initial": _number(result.loss_initial, n),
        "loss": _number(result.loss, n),
        "n_steps": finished.n_steps[:n],
        "n_evaluations": np.asarray(result.n_evaluations)[:n],
        "theta": {name: theta[:, j] for j, name in enumerate(names)},
        "stderr": {name: Same(None) if stderr is None else _number(stderr[:, j], n) for j, name in enumerate(free)},
        "derived": {name: _number(values, n) for name, values in finished.derived.items()},
        "metric": {name: _number(values, n) for name, values in metrics.items()},
    }
    numbers |= against(truths(group), names, np.asarray(group.batch.work.target.base), theta)
    outcome = _ran_away(finished.outcome[:n], theta)
    outcome, messages = _outcomes(outcome, group.batch.work.engine, numbers["metric"], free)
    outcome, messages = _degenerate(outcome, messages, numbers["derived"], group.batch.work.target.problem.degenerate())
    sides = np.sign(np.asarray(result.at_bound)[:n])
    unidentified = np.asarray(result.unidentified)[:n]
    bounds = {f"{p}:{side}": sides[:, j] == sign for j, p in enumerate(free) for sign, side in _SIDES}
    return {
        "status": _chosen(_IS_OK[outcome].astype(int), ("failed", "ok")),
        "outcome": _chosen(outcome, _LABELS),
        "message": _without_freedom(messages, outcome, metrics, group.batch.work.target.problem.absolute_sigma),
        **numbers,
        **_held(group),
        "bounds_reached": _flagged(bounds, n),
        "unidentified": _flagged({p: unidentified[:, j] for j, p in enumerate(free)}, n),
        "nonfinite": _flagged(_nonfinite(numbers) | _undefined_predictions(result, group), n),
    }


def _held(group: Group) -> dict[str, Column]:
    """How the rows were held, and why, where the problem says so."""
    plan = group.batch.work.target.problem.row_plan
    return {} if plan is None else {"rows_held": Same(f"{plan.strategy}: {plan.reason}")}


_SIDES = ((-1, "lower"), (1, "upper"))


def _number(values: Any, n: int) -> np.ndarray:
    return np.asarray(values, dtype=np.float64)[:n]


def _chosen(codes: np.ndarray, texts: Sequence[str]) -> Column:
    """texts[code] of every run."""
    if len(codes) and (codes == codes[0]).all():
        return Same(texts[codes[0]])
    return [texts[code] for code in codes.tolist()]


def _ran_away(outcome: np.ndarray, theta: np.ndarray) -> np.ndarray:
    """The outcomes, with `DIVERGED` for runs that ended well by their own account and whose theta, (n, d), has gone.

    Gone is what is not finite, or has a square that is not. A loss may be infinite where all is well: at the mean of a
    posterior around a hole.
    """
    is_here = (np.abs(theta) <= _FARTHEST).all(axis=1)
    return np.where(_IS_OK[outcome] & ~is_here, int(Outcome.DIVERGED), outcome)


def _outcomes(
    outcome: np.ndarray, engine: AbstractEngine, metrics: Mapping[str, np.ndarray], free: Sequence[str] = ()
) -> tuple[np.ndarray, Column]:
    """How each run ended, and what a person should know of it: the outcome's text or the engine's remark, and notes.

    A run that did all its steps and gets a remark has not met the engine's criterion: its steps were too few.
    """
    is_done = outcome == Outcome.CONVERGED
    remarks = engine.remarks(metrics) if is_done.any() else None
    notes = engine.notes(metrics, free)
    if remarks is None and notes is None and is_done.all():
        return outcome, Same(None)
    remarks = [""] * len(outcome) if remarks is None else remarks
    notes = [""] * len(outcome) if notes is None else notes
    has_remark = is_done & np.array([bool(text) for text in remarks])
    outcome = np.where(has_remark, int(Outcome.BUDGET), outcome)
    texts = [
        "; ".join(filter(None, (remark if done else Outcome(code).message, note))) or None
        for remark, note, done, code in zip(remarks, notes, is_done.tolist(), outcome.tolist(), strict=True)
    ]
    return outcome, texts


def _degenerate(
    outcome: np.ndarray, messages: Column, derived: Mapping[str, np.ndarray], meanings: Mapping[str, str]
) -> tuple[np.ndarray, Column]:
    """The same, with `DEGENERATE` for runs that ended ok where a number is not 0 that the stated model has at 0."""
    is_broken = {name: _IS_OK[outcome] & (derived[name] != 0) for name in meanings}
    either = np.any([np.zeros(len(outcome), bool), *is_broken.values()], axis=0)
    if not either.any():
        return outcome, messages
    texts = [messages.value] * len(outcome) if isinstance(messages, Same) else list(messages)
    for i in np.flatnonzero(either).tolist():
        why = "; ".join(f"{meanings[n]} (derived.{n} = {derived[n][i]:.3g})" for n in meanings if is_broken[n][i])
        texts[i] = "; ".join(filter(None, (f"{Outcome.DEGENERATE.message}: {why}", texts[i])))
    return np.where(either, int(Outcome.DEGENERATE), outcome), texts


def _without_freedom(
    messages: Column, outcome: np.ndarray, metrics: Mapping[str, np.ndarray], absolute: bool
) -> Column:
    """The messages, with a note for fits without degrees of freedom: their χ² tests nothing."""
    n = len(outcome)
    none_left = _IS_OK[outcome] & (metrics.get("dof", np.ones(n))[:n] <= 0)
    if not none_left.any():
        return messages
    texts = [messages.value] * n if isinstance(messages, Same) else list(messages)
    for i in np.flatnonzero(none_left).tolist():
        n_data, dof = int(metrics["n_data"][i]), int(metrics["dof"][i])
        said = f"no degrees of freedom: {n_data} data for {n_data - dof} parameters"
        if dof < 0 or not absolute:
            said += ", so not all errors are determined" if absolute else ", so no error is determined"
        texts[i] = f"{texts[i]}; {said}" if texts[i] else said
    return texts


def _nonfinite(numbers: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Dotted name of every column of numbers that JSON cannot hold somewhere → where."""
    found = {}
    for name, column in numbers.items():
        inner = {f"{name}.{k}": v for k, v in column.items()} if isinstance(column, Mapping) else {name: column}
        for path, values in inner.items():
            if not isinstance(values, Same) and not np.isfinite(values).all():
                found[path] = ~np.isfinite(values)
    return found


def _undefined_predictions(result: Result, group: Group) -> dict[str, np.ndarray]:
    """``predict.<name>`` of every prediction that is not finite somewhere → where."""
    n = len(group.rows)
    own = group.batch.work.engine.fields(one_run(group))
    predicted = {name: np.asarray(values)[:n] for name, values in result.arrays.items() if name not in own}
    finite = {name: np.isfinite(values.reshape(n, -1)).all(axis=1) for name, values in predicted.items()}
    return {f"predict.{name}": np.asarray(~good) for name, good in finite.items() if not good.all()}


def _flagged(flags: Mapping[str, np.ndarray], n: int) -> Column:
    """For every run the names whose flag it has."""
    some = {name: flag for name, flag in flags.items() if flag.any()}
    if not some:
        return Same([])
    names: list[list[str]] = [[] for _ in range(n)]
    for name, flag in some.items():
        for i in np.flatnonzero(flag).tolist():
            names[i].append(name)
    return names


def are_failed(columns: Columns, n: int) -> np.ndarray:
    """Which of n runs failed, by their columns."""
    status = columns["status"]
    return np.full(n, status.value == "failed") if isinstance(status, Same) else np.array(status) == "failed"


def failed_columns(messages: Sequence[str], outcome: str = "error") -> Columns:
    """Columns of the records of runs that raised before they could begin, or were lost with their workers."""
    return {
        "status": Same("failed"),
        "outcome": Same(outcome),
        "message": messages,
        "loss_initial": Same(None),
        "loss": Same(None),
        "n_steps": np.zeros(len(messages), int),
        "n_evaluations": Same(0),
        **{name: Same({}) for name in ("theta", "stderr", "derived", "metric")},
        **{name: Same([]) for name in ("bounds_reached", "unidentified", "nonfinite")},
    }
