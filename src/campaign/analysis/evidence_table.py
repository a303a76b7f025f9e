"""The evidences of a campaign: of its nested sampling, and of its fits by Laplace's approximation."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from campaign.analysis.evidence import Evidence, compare_evidence, laplace_evidence
from campaign.analysis.handle import Handle
from campaign.analysis.traces import read_trace
from campaign.errors import CampaignError, UnknownName, nearest
from campaign.registry import ENGINES, PROBLEMS, load
from campaign.space.priors import Prior, bounded, parse
from campaign.store.merit import DEGENERATE, merit
from campaign.store.records import read_json

Programs = Callable[[str, str], Mapping[str, Any]]  # stage, program → its document, read once
MAX_FITS = 200  # fits whose covariance is read; beyond, the table says so


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEvidence:
    """The evidence of one run of a campaign.

    Attributes:
        data: what its data are, by the options that choose them (`ProblemPlugin.data`); empty where nobody says.
        axes: the other options of the problem that differ within its stage.
    """

    stage: str
    run_id: str
    problem: str
    engine: str
    data: Mapping[str, Any]
    axes: Mapping[str, Any]
    outcome: str
    evidence: Evidence


def evidence_table(campaign: Handle, stage: str | None = None) -> list[RunEvidence]:
    """All evidences, or those of one stage, by their data; the best first, with ln B against the best of the same data.

    Only models of the same data compare. Problems that do not say which options choose their data
    (`ProblemPlugin.data`) count as one choice: whether they have the same data is for the reader to know.

    A run of nested sampling has its own. Of other engines the fit of lowest loss for each set of the problem's options
    has one by Laplace's approximation, where it recorded a covariance and is no sampler; at most `MAX_FITS`, and a last
    entry of a stage without an evidence says how many were not read.

    Raises:
        UnknownName: there is no such stage.
    """
    if stage is not None and stage not in campaign.stages:
        raise UnknownName(f"stage `{stage}` has no plan", hint=nearest(stage, campaign.stages))
    rows = campaign.arrow()
    programs: Programs = functools.cache(lambda stage, program: read_json(campaign.layout.program(stage, program)))
    found: list[RunEvidence] = []
    for name in campaign.stages if stage is None else (stage,):
        own = rows.filter(pc.and_(pc.equal(rows["stage"], name), pc.equal(rows["status"], "ok")))
        axes = [path for path in own.column_names if path.startswith("problem.") and _differs(own[path])]
        found += _nested_runs(programs, own, axes)
        room = MAX_FITS - sum(one.evidence.method == "laplace" for one in found)
        found += _fitted_runs(campaign, programs, own, axes, room)
    owner = {one.evidence.name: one for one in found}
    alike: dict[str, list[Evidence]] = {}
    for one in found:
        key = json.dumps([one.problem, one.data], sort_keys=True) if one.data else ""
        alike.setdefault(key, []).append(one.evidence)
    compared = [evidence for group in alike.values() for evidence in compare_evidence(group)]
    return [replace(owner[evidence.name], evidence=evidence) for evidence in compared]


def _differs(column: pa.ChunkedArray) -> bool:
    return pc.count_distinct(column, mode="all").as_py() > 1


def _nested_runs(programs: Programs, rows: pa.Table, axes: list[str]) -> list[RunEvidence]:
    column = "metric.log_evidence"
    if column not in rows.column_names:
        return []
    found = []
    for row in rows.filter(pc.is_valid(rows[column])).to_pylist():
        note = "" if row["outcome"] == "converged" else row.get("message") or row["outcome"]
        value, error = row[column], row.get("metric.log_evidence_stderr")
        evidence = Evidence(name=_name(row), method="nested", log_evidence=_finite(value), stderr=error, note=note)
        found.append(_run_evidence(programs, row, axes, evidence))
    return found


def _fitted_runs(campaign: Handle, programs: Programs, rows: pa.Table, axes: list[str], room: int) -> list[RunEvidence]:
    """The best fit of each group, by Laplace's approximation, and how many there was no room for."""
    best: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in rows.to_pylist():
        is_fit = row["loss"] is not None and row.get("metric.log_evidence") is None
        key = tuple(row[axis] for axis in axes)
        if is_fit and (key not in best or _rank(row) < _rank(best[key])):
            best[key] = row
    room = max(room, 0)
    evidences = ((row, _laplace(campaign, programs, row)) for row in list(best.values())[:room])
    found = [_run_evidence(programs, row, axes, evidence) for row, evidence in evidences if evidence is not None]
    if len(best) > room:
        row = list(best.values())[room]
        note = f"{len(best) - room} fits of this stage were not read: at most {MAX_FITS} of a campaign are"
        unread = Evidence(name=f"{row['stage']}, unread", method="laplace", log_evidence=None, stderr=None, note=note)
        found.append(_run_evidence(programs, row, axes, unread))
    return found


def _rank(row: Mapping[str, Any]) -> tuple[bool, float]:
    return merit(row["outcome"], row["loss"])


def _laplace(campaign: Handle, programs: Programs, row: Mapping[str, Any]) -> Evidence | None:
    """None where the run is none of a fit with errors."""
    if load(ENGINES, row["engine"]).samples:
        return None
    try:
        trace = read_trace(campaign.layout, campaign.run(row["run_id"]))
    except CampaignError:  # nothing was recorded
        return None
    if "covariance" not in trace:
        return None
    program = programs(row["stage"], row["program"])
    name = _name(row)
    refused = _refused(program, row)
    if refused:
        return Evidence(name=name, method="laplace", log_evidence=None, note=refused)
    free = {p["name"]: p for p in program["parameters"]}
    names = [str(own) for own in np.asarray(trace["parameter"])]
    try:
        priors = {own: _prior_of(free[own]) for own in names}
    except CampaignError as error:
        return Evidence(name=name, method="laplace", log_evidence=None, note=error.message)
    lost = [own for own in names if priors[own] is None]
    if lost:
        note = f"`{lost[0]}` has neither a prior nor two finite bounds"
        return Evidence(name=name, method="laplace", log_evidence=None, note=note)
    return laplace_evidence(
        loss=row["loss"],
        theta={own: row[f"theta.{own}"] for own in names},
        covariance=np.asarray(trace["covariance"], np.float64),
        priors={own: prior for own, prior in priors.items() if prior is not None},
        bounds_reached=row["bounds_reached"] or (),
        unidentified=row["unidentified"] or (),
        is_posterior=program["engine"].get("objective") == "posterior",
        name=name,
    )


def _refused(program: Mapping[str, Any], row: Mapping[str, Any]) -> str:
    """Why the loss of a fit is no likelihood of its problem; "" where it is."""
    loss = program["engine"].get("loss", "linear")
    if loss != "linear":
        return f"the loss `{loss}` is not the likelihood of the problem"
    if program.get("likelihood", {}).get("reduce") == "mean":
        return "ln L is a mean over the data"
    if row["outcome"] == DEGENERATE:
        return "the result is none of the stated model: see its message"
    if row.get("metric.chi2") is None and "chi2" in program.get("metrics", ()):
        return "the errors of the data are not known: ln L has no scale"
    return ""


def _prior_of(parameter: Mapping[str, Any]) -> Prior | None:
    """The normalised prior between the bounds, as a program declares a parameter."""
    low = -math.inf if parameter["lower"] is None else parameter["lower"]
    high = math.inf if parameter["upper"] is None else parameter["upper"]
    if parameter["prior"] is not None:
        return bounded(parse(parameter["prior"]), low, high)
    return Prior("uniform", (low, high)) if math.isfinite(low) and math.isfinite(high) else None


def _run_evidence(programs: Programs, row: Mapping[str, Any], axes: list[str], evidence: Evidence) -> RunEvidence:
    data = _data_of(programs, row)
    return RunEvidence(
        stage=row["stage"],
        run_id=row["run_id"],
        problem=row["problem"],
        engine=row["engine"],
        data=data,
        axes={axis: row[axis] for axis in axes if axis.removeprefix("problem.") not in data},
        outcome=row["outcome"],
        evidence=evidence,
    )


def _data_of(programs: Programs, row: Mapping[str, Any]) -> dict[str, Any]:
    """The options that choose a run's data: its own values, else those of its program."""
    try:
        names = load(PROBLEMS, row["problem"]).data
    except CampaignError:  # a file of the user's, or a package that is not here
        return {}
    whole = programs(row["stage"], row["program"])["problem"] if names else {}
    own = {name: row.get(f"problem.{name}") for name in names}
    return {name: _plain(whole.get(name) if value is None else value) for name, value in own.items()}


def _plain(value: Any) -> Any:
    """A list or an object of a table's cell, which is text there."""
    return json.loads(value) if isinstance(value, str) and value[:1] in ("[", "{") else value


def _name(row: Mapping[str, Any]) -> str:
    return f"{row['stage']}/{row['run_id']}"


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
