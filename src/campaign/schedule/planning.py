"""Stage → part of the plan: every run with its id, program, block and row. A pure value; `store.plan` writes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc

from campaign.errors import CampaignError, Diagnostic, InvalidValue, ManifestError
from campaign.manifest.columns import Column, Columns
from campaign.manifest.diagnose import pointer
from campaign.manifest.model import Manifest, Stage
from campaign.manifest.nodes import Leaf
from campaign.manifest.points import expand
from campaign.manifest.retry import NONCONVERGED, step_option
from campaign.manifest.stage import DEFAULTS, stage_axes
from campaign.schedule.continuing import earlier_parts
from campaign.schedule.placing import are_new, n_removed, old_places, place_runs
from campaign.schedule.resolve import LoadDefaults, ResolvedStage, resolve
from campaign.schedule.rows import axis_type, first_of_each, hexadecimal, plan_table, run_digests
from campaign.schedule.starts import BLOCKED, group_rows, start_rows
from campaign.store.plan import SCHEMA, PlanPart, Previous

_NOT_AXES = ("replicate", "label", BLOCKED)


def plan_stage(
    manifest: Manifest,
    stage: str | Stage,
    folder: Path | None = None,
    *,
    previous: Previous | PlanPart | None = None,
    starts: Any = None,
    source: PlanPart | None = None,
    load_defaults: LoadDefaults | None = None,
    created_at: str | None = None,
) -> PlanPart:
    """Plan a stage.

    Args:
        manifest, stage: what to plan.
        folder: in which relative file names are looked up; the manifest's own when left out.
        previous: what earlier parts planned; their rows keep their places.
        starts: for a stage that starts from another: the summary rows of that stage, a DataFrame or Arrow table.
        source: the latest plan part of that stage, for the types of its axes.
        load_defaults: model → stored best parameters, for a stage that starts from the defaults.
        created_at: ISO-8601 time for the header; the time of writing when left out.

    Raises:
        ManifestError: with every finding.
        InvalidValue: the stage starts from another one, and `starts` is not given.
    """
    stage = manifest.stage(stage) if isinstance(stage, str) else stage
    if folder is not None and Path(folder).resolve() != manifest.folder:
        manifest = replace(manifest, folder=Path(folder).resolve())
    if isinstance(previous, PlanPart):
        previous = Previous.of(previous)
    leaf = _source_leaf(manifest, stage, starts, source)
    points = expand(stage, source=leaf, base=base_values(manifest, stage))
    if points.n == 0:
        message = f"the stage `{stage.name}` has no runs: all {points.n_before:,} points are excluded"
        raise ManifestError([Diagnostic(place=pointer(stage.place, "exclude"), message=message)])
    columns = points.columns
    resolved = resolve(
        manifest,
        stage,
        points.n,
        columns,
        problem=problem_document(manifest, stage),
        inherited=dict(leaf.axes) if leaf else None,
        load_defaults=load_defaults,
    )
    _check_retry(manifest, stage, resolved)
    columns = _without_foreign(resolved, columns, leaf)
    digests = run_digests(resolved, columns, manifest.seed, stage.precision)
    code = resolved.groups.code
    kept = first_of_each(digests)
    if kept is not None:
        columns = {path: column.take(kept) for path, column in columns.items()}
        digests, code = digests[kept], code[kept]
    run_ids = hexadecimal(digests)
    part = 0 if previous is None else previous.part + 1
    old = old_places(run_ids, previous)
    earlier = earlier_parts(run_ids, are_new(len(run_ids), old), stage, resolved, code, previous)
    place, programs = place_runs(stage, resolved, code, old, part, earlier)
    kinds = {p: axis_type(p, c, resolved.axes.is_varying(p)) for p, c in columns.items() if p not in _NOT_AXES}
    table = plan_table(run_ids, columns, kinds, place)
    n_new = int(pc.sum(pc.equal(table.column("part"), part)).as_py() or 0)
    header = {
        "schema": SCHEMA,
        "stage": stage.name,
        "part": part,
        "created_at": created_at,
        "manifest_sha256": manifest.sha256,
        "seed": manifest.seed,
        "n_runs": table.num_rows,
        "n_new": n_new,
        "n_kept": table.num_rows - n_new,
        "n_removed": n_removed(run_ids, previous),
        "n_points": points.n_before,
        "n_excluded": points.n_excluded,
        "n_duplicates": points.n - table.num_rows,
        "warnings": [*stage.warnings, *earlier.warnings()],
        "trace": stage.trace.document(),
        "axes": {p: {"type": kind, "varying": resolved.axes.is_varying(p)} for p, kind in kinds.items()},
        "programs": programs,
    }
    snapshots = {r.module.snapshot: r.module.content for r in resolved.resolved if r.module is not None}
    return PlanPart(header=header, rows=table, snapshots=snapshots)


def count_stage(manifest: Manifest, stage: str | Stage, source: PlanPart) -> int:
    """How many runs a stage will have that starts from another one, before that one has run.

    Exact but for two things that only results decide: expressions over inherited start values, and identical runs.
    """
    stage = manifest.stage(stage) if isinstance(stage, str) else stage
    leaf = group_rows(stage, source.rows, source.header["axes"])
    return expand(stage, source=leaf, base=base_values(manifest, stage)).n


def problem_document(manifest: Manifest, stage: Stage) -> Mapping[str, Any]:
    """The problem of a stage; without one, that of the stage it starts from."""
    while stage.problem is None:
        if stage.start.source in (None, DEFAULTS):
            return {}  # a finding says so
        stage = manifest.stage(stage.start.source)
    return stage.problem


def base_values(manifest: Manifest, stage: Stage) -> dict[str, Any]:
    """The values that the stage's documents give, by dotted path: what expressions see where a point sets nothing."""
    values: dict[str, Any] = {}
    documents = {
        "problem": problem_document(manifest, stage),
        "engine": stage.engine,
        "start": stage.start.values,
        "scale": stage.scale,
    }
    pending = list(documents.items())
    while pending:
        path, value = pending.pop()
        if isinstance(value, Mapping):
            pending.extend((f"{path}.{key}", inner) for key, inner in value.items())
        else:
            values[path] = value
    return values


def _check_retry(manifest: Manifest, stage: Stage, resolved: ResolvedStage) -> None:
    """`retry.nonconverged` gives more steps: the engine must have a number of them to raise."""
    without = sorted({str(r.engine["name"]) for r in resolved.resolved if step_option(r.engine) is None})
    if NONCONVERGED in stage.retry and without:
        message = f"the engine `{without[0]}` has no number of steps that could be raised"
        place = pointer(stage.place, "retry", NONCONVERGED)
        finding = Diagnostic(place=place, message=message, hint="leave it out")
        raise ManifestError([finding], source=manifest.source)


def _source_leaf(manifest: Manifest, stage: Stage, starts: Any, source: PlanPart | None) -> Leaf | None:
    name = stage.start.source
    if name is None or name == DEFAULTS:
        return None
    if starts is None:
        raise InvalidValue(
            f"the stage `{stage.name}` starts from `{name}`, whose results are not there yet",
            hint=f"run the stage `{name}` first",
        )
    try:
        axes = source.header["axes"] if source is not None else _declared_axes(manifest, stage)
        return start_rows(stage, name, starts, axes)
    except CampaignError as error:
        place = pointer(stage.place, "start", "pick" if stage.start.run else "from")
        raise ManifestError(
            [Diagnostic(place=place, message=error.message, hint=error.hint)], source=manifest.source
        ) from error


def _declared_axes(manifest: Manifest, stage: Stage) -> dict[str, dict[str, Any]]:
    """Axes of the source stage without its plan: their types are taken from the results."""
    stages = {s.name: s for s in manifest.stages}
    return {path: {} for path in stage_axes(stages[stage.start.source or ""], stages)}


def _without_foreign(stage: ResolvedStage, columns: Columns, leaf: Leaf | None) -> Columns:
    """Inherited start and scale values of parameters that a row's problem does not have become absent."""
    if leaf is None:
        return columns
    code, changed = stage.groups.code, dict(columns)
    for path in leaf.axes:
        kind, _, name = path.partition(".")
        if kind not in ("start", "scale") or path not in columns:
            continue
        known = np.array([name in resolved.space.names for resolved in stage.resolved])
        column = columns[path]
        if not known.all():
            present = column.where_present() & known[code]
            changed[path] = Column(column.kind, column.data, column.values, present)
            if not present.any():
                del changed[path]
    return changed
