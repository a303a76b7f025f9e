"""A report: which panels of which stages and runs are drawn, and what became of each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from campaign.analysis.handle import Handle
from campaign.analysis.results import StageResult, stage_results
from campaign.analysis.select import find
from campaign.report.panels import Drawing, Panel, draw
from campaign.report.source import RunSource, StageSource, run_source, stage_source


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StageReport:
    """A stage in a report.

    Attributes:
        source: its runs.
        result: outcomes and the best runs.
        run: the run that is drawn: the one asked for, or that of lowest loss; None without a finished one.
        drawings: of the stage, then of the run.
    """

    source: StageSource
    result: StageResult
    run: RunSource | None
    drawings: tuple[Drawing, ...]


def make_report(handle: Handle, panels: Iterable[Panel], *, run: str | None = None) -> tuple[StageReport, ...]:
    """Draw panels of every stage, or of one run.

    Args:
        panels: what is drawn of each stage and of the run of lowest loss in it, where its needs are fulfilled.
        run: the beginning of a run id, or "last": only that run is drawn, by the panels of runs.

    Raises:
        UnknownName: no such run.
        UsageError: the beginning of several.
    """
    panels = tuple(panels)
    place = None if run is None else find(handle.layout, run)
    table = handle.table()
    results = {result.stage: result for result in stage_results(handle.layout.root)}
    reports = []
    for name in handle.stages:
        if name not in results or (place is not None and name != place.stage):
            continue
        stage = stage_source(handle, table, name)
        chosen = run_source(stage, place) if place is not None else best_run(stage)
        drawings = _of_stage(stage, panels if place is None else ()) + _of_run(chosen, panels)
        reports.append(StageReport(source=stage, result=results[name], run=chosen, drawings=drawings))
    return tuple(reports)


def best_run(stage: StageSource) -> RunSource | None:
    """The run of a stage that comes first in its results: of lowest loss where no axis of data or method differs,
    else that of the group that comes first."""
    best = stage.best
    if best.empty:
        return None
    return run_source(stage, find(stage.handle.layout, str(best["run_id"].iloc[0]), stage=stage.stage))


def _of_stage(stage: StageSource, panels: Sequence[Panel]) -> tuple[Drawing, ...]:
    if bool(stage.rows["status"].notna().any()):
        return tuple(draw(panel, stage) for panel in panels if panel.of == "stage")
    return ()


def _of_run(run: RunSource | None, panels: Sequence[Panel]) -> tuple[Drawing, ...]:
    return () if run is None else tuple(draw(panel, run) for panel in panels if panel.of == "run")
