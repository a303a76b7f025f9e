"""A report as one HTML file that needs nothing else: no script, no link out, pictures inside."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from campaign.analysis.handle import Handle
from campaign.analysis.measurement import measurement
from campaign.analysis.results import METRICS, Best, StageResult
from campaign.report.panels import Drawing
from campaign.report.report import StageReport
from campaign.store.records import read_json

SHORT_ID = 12  # digits of a run id that are shown


def as_html(handle: Handle, stages: Sequence[StageReport]) -> str:
    """The page: what ran, its state, the best runs of each stage, and what was drawn."""
    from jinja2 import Environment, StrictUndefined

    template = files("campaign.report").joinpath("page.html.jinja").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    manifest = read_json(handle.layout.manifest)
    identity = read_json(handle.layout.identity)
    status = handle.status()
    return environment.from_string(template).render(
        name=manifest.get("name", handle.layout.root.name),
        description=manifest.get("description", ""),
        facts=[f"campaign {identity['id']}", f"made {identity['created_at'][:10]}", status.state],
        status=status.stages,
        stages=[_stage(stage) for stage in stages],
    )


def _stage(stage: StageReport) -> dict[str, Any]:
    header, rows = best_rows(stage.result)
    return {
        "name": stage.result.stage,
        "what": what_ran(stage),
        "header": header,
        "rows": rows,
        "n_words": len(stage.result.best[0].group) + 1 if stage.result.best else 0,
        "caption": _caption(stage.result),
        "pictures": [_picture(stage, drawing, drawing.png) for drawing in stage.drawings if drawing.png is not None],
        "failed": [f"{d.panel.name}: {d.reason}" for d in stage.drawings if d.has_failed],
        "skipped": [f"{d.panel.title} ({d.panel.name}): {d.reason}" for d in stage.drawings if d.is_skipped],
    }


def what_ran(stage: StageReport) -> str:
    """One sentence: how many runs of what, over which axes, and how they ended."""
    result, programs = stage.result, tuple(stage.source.programs.values())
    problems = ", ".join(dict.fromkeys(str(p.problem["name"]) for p in programs))
    outcomes = ", ".join(f"{n:,} {name}" for name, n in sorted(result.outcomes.items(), key=lambda item: -item[1]))
    axes = ", ".join(stage.source.axes)
    text = f"{result.n_runs:,} runs of {result.engine}" + (f" on {problems}" if problems else "")
    return f"{text}{f' over {axes}' if axes else ''}: {outcomes}."


def best_rows(result: StageResult) -> tuple[list[str], list[list[str]]]:
    """The best run of each group as a table: run, axes, estimates with errors, a few metrics."""
    best = result.best
    names = list(dict.fromkeys(e.name for b in best for e in b.estimates))
    units = {e.name: e.unit for b in best for e in b.estimates}
    metrics = [name for name in METRICS if any(name in b.metrics for b in best)]
    axes = list(best[0].group) if best else []
    titles = [f"{name} [{units[name]}]" if units[name] else name for name in names]
    return ["run", *axes, *titles, *metrics], [_row(b, names, metrics) for b in best]


def _row(best: Best, names: Sequence[str], metrics: Sequence[str]) -> list[str]:
    estimates = {e.name: measurement(e.value, e.error) for e in best.estimates}
    group = ["" if v is None else f"{v:.6g}" if isinstance(v, float) else str(v) for v in best.group.values()]
    numbers = [f"{best.metrics[name]:.6g}" if name in best.metrics else "" for name in metrics]
    return [best.run_id[:SHORT_ID], *group, *(estimates.get(name, "") for name in names), *numbers]


def _caption(result: StageResult) -> str:
    held = ", ".join(f"{path} = {value}" for path, value in result.held.items())
    if held:
        return f"lowest loss where {held} ({len(result.best):,} of {result.n_groups:,} groups)"
    return "the run of lowest loss" if len(result.best) == 1 else f"lowest loss of each of {len(result.best):,} groups"


def _picture(stage: StageReport, drawing: Drawing, png: bytes) -> dict[str, str]:
    caption = f"panel {drawing.panel.name}"
    if drawing.run_id is not None and stage.run is not None:
        own = ", ".join(f"{axis} = {stage.run.row[axis]}" for axis in stage.source.axes if axis in stage.run.row)
        caption = f"run {drawing.run_id[:SHORT_ID]}{f' ({own})' if own else ''}, {caption}"
    return {"title": drawing.panel.title, "caption": caption, "png": base64.b64encode(png).decode()}
