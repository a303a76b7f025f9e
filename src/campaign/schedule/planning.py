"""Stage → part of the plan: every run with its id, program, block and row. A pure value; `store.plan` writes it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc

from campaign.errors import Diagnostic, ManifestError
from campaign.manifest.columns import Column, Columns
from campaign.manifest.diagnose import pointer
from campaign.manifest.model import Manifest, Stage
from campaign.manifest.retry import NONCONVERGED, step_option
from campaign.schedule.continuing import earlier_parts
from campaign.schedule.gathering import check_fields, gathering
from campaign.schedule.placing import are_new, n_removed, old_places, place_runs
from campaign.schedule.resolve import ResolvedStage, resolve
from campaign.schedule.rows import axis_type, first_of_each, hexadecimal, plan_table, run_digests
from campaign.schedule.stage_points import begun_stage, problem_document
from campaign.schedule.start_values import LoadDefaults
from campaign.schedule.starts import BLOCKED
from campaign.store.plan import SCHEMA, PlanPart
from campaign.store.previous import Previous

_NOT_AXES = ("replicate", "label", BLOCKED)


def plan_stage(
    manifest: Manifest,
    stage: str | Stage,
    folder: Path | None = None,
    *,
    previous: Previous | PlanPart | None = None,
    starts: Any = None,
    source: PlanPart | None = None,
    arrays: Collection[str] | None = None,
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
        arrays: names of the arrays that the source's runs have on disk; None: not known.
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
    begun = begun_stage(manifest, stage, starts, source)
    points = begun.points
    if points.n == 0:
        message = f"the stage `{stage.name}` has no runs: all {points.n_before:,} points are excluded"
        raise ManifestError([Diagnostic(place=pointer(stage.place, "exclude"), message=message)])
    resolved = resolve(
        manifest,
        stage,
        points.n,
        begun.columns,
        problem=problem_document(manifest, stage),
        inherited=begun.inherited,
        load_defaults=load_defaults,
    )
    _check_retry(manifest, stage, resolved)
    check_fields(manifest, stage, resolved, starts, arrays)
    columns = _without_foreign(resolved, begun.columns, begun.inherited)
    digests = run_digests(resolved, columns, manifest.seed, stage.precision)
    code = resolved.groups.code
    first = first_of_each(digests)
    repeated = () if first is None else _repeated(first, columns, resolved.axes.labels)
    if first is not None:
        kept = np.unique(first)
        columns = {path: column.take(kept) for path, column in columns.items()}
        digests, code = digests[kept], code[kept]
    run_ids = hexadecimal(digests)
    part = 0 if previous is None else previous.part + 1
    old = old_places(run_ids, previous)
    earlier = earlier_parts(run_ids, are_new(len(run_ids), old), stage, resolved, code, previous)
    place, programs = place_runs(stage, resolved, code, old, part, earlier)
    kinds = {p: axis_type(p, c, resolved.axes.is_varying(p)) for p, c in columns.items() if p not in _NOT_AXES}
    table = plan_table(run_ids, columns, kinds, place)
    gathered = gathering(stage, begun.members)
    n_new = int(pc.sum(pc.equal(table.column("part"), part)).as_py() or 0)
    read = dict.fromkeys(text for one in resolved.resolved for text in one.warnings)
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
        "warnings": [*stage.warnings, *points.warnings, *begun.warnings, *repeated, *earlier.warnings(), *read],
        "trace": stage.trace.document(),
        "axes": {p: {"type": kind, "varying": resolved.axes.is_varying(p)} for p, kind in kinds.items()},
        "programs": {name: entry | gathered.entry for name, entry in programs.items()},
    }
    return PlanPart(header=header, rows=table, snapshots=gathered.snapshots)


def _repeated(first: np.ndarray, columns: Columns, labels: Sequence[str]) -> tuple[str, ...]:
    """What to say of points that are one run with an earlier point: run ids leave tags out.

    Args:
        first: for each point the first one with its id.
        columns, labels: the axes, and which of them only name runs.
    """
    lost = [path for path in labels if path in columns and _differs(columns[path], first)]
    n_runs, names = len(np.unique(first)), ", ".join(f"`{path}`" for path in lost)
    which = (
        f"points that differ in {names} only are one run, which keeps the values of the first"
        if lost
        else ("equal points are one run")
    )
    return (
        f"{len(first):,} points are {n_runs:,} run{'' if n_runs == 1 else 's'}: {which}; "
        "`replicates` makes independent runs of one point",
    )


def _differs(column: Column, first: np.ndarray) -> bool:
    """Whether a point has another value than the first point of its run, or has one where that has none."""
    other = column.take(first)
    mine, theirs = column.where_present(), other.where_present()
    return bool(((column.data != other.data) & mine & theirs).any() or (mine != theirs).any())


def _check_retry(manifest: Manifest, stage: Stage, resolved: ResolvedStage) -> None:
    """`retry.nonconverged` gives more steps: the engine must have a number of them to raise."""
    without = sorted({str(r.engine["name"]) for r in resolved.resolved if step_option(r.engine) is None})
    if NONCONVERGED in stage.retry and without:
        message = f"the engine `{without[0]}` has no number of steps that could be raised"
        place = pointer(stage.place, "retry", NONCONVERGED)
        finding = Diagnostic(place=place, message=message, hint="leave it out")
        raise ManifestError([finding], source=manifest.source)


def _without_foreign(stage: ResolvedStage, columns: Columns, inherited: Mapping[str, str]) -> Columns:
    """Inherited start and scale values of parameters that a row's problem does not have become absent."""
    code, changed = stage.groups.code, dict(columns)
    for path in inherited:
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
