"""The basins of a stage: its fits, problem by problem, from the table and the covariances on disk."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from campaign.analysis.basins import CHOICE, DISTANCE, SAME, Basins, Ended, basins_of
from campaign.analysis.handle import Handle
from campaign.analysis.traces import open_traces
from campaign.errors import InvalidValue, UnknownName, nearest
from campaign.store.layout import Layout
from campaign.store.records import read_json

_READ = ("run_id", "stage", "problem", "program", "row", "status", "outcome", "loss", "bounds_reached")
_STATISTICS = ("metric.chi2", "metric.dof", "metric.p_value", "metric.reduced_chi2")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemBasins:
    """The basins of the fits of one problem.

    Attributes:
        problem: its name and the options that differ from problem to problem, by dotted name.
        n_fits: fits that were looked at; n_failed: runs without a result.
    """

    problem: dict[str, Any]
    names: tuple[str, ...]
    n_fits: int
    n_failed: int
    basins: Basins


def stage_basins(
    handle: Handle,
    stage: str | None = None,
    *,
    distance: float = DISTANCE,
    same: float = SAME,
    choice: float = CHOICE,
) -> list[ProblemBasins]:
    """Basins of every problem of a stage: of the runs that differ in nothing but engine, start and seed.

    Covariances are those that were recorded; where a stage recorded none, distances come from the standard errors alone
    and a remark says so.

    Args:
        stage: None is the last stage.
        distance, same, choice: as for `basins_of`.

    Raises:
        UnknownName: no such stage.
        InvalidValue: its runs have no errors, which distances are measured in.
    """
    stages = handle.stages
    stage = stages[-1] if stage is None else stage
    if stage not in stages:
        raise UnknownName(f"unknown stage `{stage}`", hint=nearest(stage, stages))
    table = handle.arrow()
    wanted = [
        name
        for name in table.column_names
        if name in (*_READ, *_STATISTICS) or name.startswith(("problem.", "theta.", "stderr."))
    ]
    rows = [row for row in table.select(wanted).to_pylist() if row["stage"] == stage]
    covariances = _Covariances(handle.layout, stage)
    found = []
    for problem, own in _by_problem(rows).items():
        done = [row for row in own if row["status"] == "ok"]
        names = covariances.names(own[0]["program"])
        fits = [_ended(row, names, covariances.of(row, names)) for row in done]
        _require_errors(fits, stage)
        basins = basins_of(fits, names, distance=distance, same=same, choice=choice)
        if covariances.is_missing:
            said = (*basins.remarks, "no covariances were recorded: distances are from standard errors alone")
            basins = Basins(found=basins.found, rivals=basins.rivals, unsettled=basins.unsettled, remarks=said)
        failed = sum(row["status"] == "failed" for row in own)
        about = dict(json.loads(problem))
        found.append(ProblemBasins(problem=about, names=tuple(names), n_fits=len(done), n_failed=failed, basins=basins))
    return _named_apart(found)


def _by_problem(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        own = {name: value for name, value in row.items() if name == "problem" or name.startswith("problem.")}
        groups.setdefault(json.dumps(own, sort_keys=True, default=str), []).append(row)
    return groups


def _named_apart(found: list[ProblemBasins]) -> list[ProblemBasins]:
    """Each problem with what tells it from the others."""
    names = {name for one in found for name in one.problem}
    same = {n for n in names if n != "problem" and len({json.dumps(one.problem.get(n)) for one in found}) == 1}
    return [
        ProblemBasins(
            problem={name: value for name, value in one.problem.items() if name not in same},
            names=one.names,
            n_fits=one.n_fits,
            n_failed=one.n_failed,
            basins=one.basins,
        )
        for one in found
    ]


def _ended(row: Mapping[str, Any], names: Sequence[str], covariance: np.ndarray) -> Ended:
    chi2 = row.get("metric.chi2")
    is_absolute = row.get("metric.p_value") is not None or row.get("metric.reduced_chi2") is None
    reached = {name.rpartition(":")[0] for name in row.get("bounds_reached") or ()}
    return Ended(
        run_id=row["run_id"],
        theta=np.array([row[f"theta.{name}"] for name in names], np.float64),
        covariance=covariance,
        chi2=float(2.0 * row["loss"] if chi2 is None else chi2),
        unit=1.0 if is_absolute else float(row["metric.reduced_chi2"]),
        is_settled=row["outcome"] == "converged",
        held=np.array([name in reached for name in names]),
    )


def _require_errors(fits: Sequence[Ended], stage: str) -> None:
    if fits and not any(np.isfinite(np.diagonal(one.covariance)).any() for one in fits):
        raise InvalidValue(
            f"the runs of stage `{stage}` have no standard errors, in which distances are measured",
            hint="let a stage with `trf` start from it, or set `engine.refine` of `cmaes`",
        )


class _Covariances:
    """Those of a stage, program by program, read when they are first asked for.

    Attributes:
        is_missing: some run had none.
    """

    def __init__(self, layout: Layout, stage: str) -> None:
        self.layout, self.stage, self.is_missing = layout, stage, False
        self._known: dict[str, np.ndarray | None] = {}

    def names(self, program: str) -> list[str]:
        """The free parameters of a program."""
        document = read_json(self.layout.program(self.stage, program))
        return [one["name"] for one in document["parameters"] if one["free"]]

    def of(self, row: Mapping[str, Any], names: Sequence[str]) -> np.ndarray:
        """Covariance of a run; from its standard errors where none was recorded."""
        program = row["program"]
        if program not in self._known:
            self._known[program] = self._read(program)
        recorded = self._known[program]
        errors = np.array([np.nan if (v := row.get(f"stderr.{n}")) is None else v for n in names], np.float64)
        if recorded is not None and recorded[row["row"]].shape == (len(names), len(names)):
            return recorded[row["row"]]
        self.is_missing = True
        return np.where(np.eye(len(names), dtype=bool), errors**2, np.where(np.isfinite(errors), 0.0, np.nan)[:, None])

    def _read(self, program: str) -> np.ndarray | None:
        try:
            group = open_traces(self.layout, self.stage, program)
        except UnknownName:
            return None
        return np.asarray(group["covariance"]) if "covariance" in group else None
