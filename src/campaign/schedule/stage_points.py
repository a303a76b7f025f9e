"""The points of a stage, with what they take over from the stage that it starts from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from campaign.errors import CampaignError, Diagnostic, InvalidValue, ManifestError
from campaign.manifest.columns import Columns
from campaign.manifest.diagnose import pointer
from campaign.manifest.model import Manifest, Stage
from campaign.manifest.points import Points, expand
from campaign.manifest.start import DEFAULTS, stage_axes
from campaign.schedule.nearest import with_nearest, with_planned
from campaign.schedule.starts import as_table, axis_columns, planned_rows, start_rows
from campaign.store.plan import PlanPart


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Begun:
    """The points of a stage, with what they take over from the stage that it starts from.

    Attributes:
        points: as expanded.
        columns: theirs, and what is joined to them afterwards.
        inherited: axes that come from the other stage, with their places.
        warnings, members: see `Starts`.
    """

    points: Points
    columns: Columns
    inherited: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    members: Mapping[str, bytes] = field(default_factory=dict)


def begun_stage(manifest: Manifest, stage: Stage, starts: Any, source: PlanPart | None) -> Begun:
    """The points of a stage that can be planned.

    Args:
        manifest, stage: what is planned.
        starts: summary rows of the stage that it starts from, where it starts from one.
        source: the latest plan part of that stage, for the types of its axes.

    Raises:
        ManifestError: with the place of what is wrong.
        InvalidValue: `starts` is needed and not given.
    """
    base, name = base_values(manifest, stage), stage.start.source
    if name is None or name == DEFAULTS:
        points = expand(stage, base=base)
        return Begun(points=points, columns=points.columns)
    if starts is None:
        raise InvalidValue(
            f"the stage `{stage.name}` starts from `{name}`, whose results are not there yet",
            hint=f"run the stage `{name}` first",
        )
    axes = source.header["axes"] if source is not None else _declared_axes(manifest, stage)
    try:
        if stage.start.pick == "nearest":
            points = expand(stage, base=base)
            columns, inherited = with_nearest(stage, name, starts, axes, points.columns)
            return Begun(points=points, columns=columns, inherited=inherited)
        begun = start_rows(stage, name, starts, axes)
    except ManifestError:
        raise
    except CampaignError as error:
        place = pointer(stage.place, "start", "pick" if stage.start.run else "from")
        raise ManifestError([Diagnostic.of(place, error)], source=manifest.source) from error
    points = expand(stage, source=begun.leaf, base=base)
    inherited = dict(begun.leaf.axes)
    return Begun(
        points=points, columns=points.columns, inherited=inherited, warnings=begun.warnings, members=begun.members
    )


def expected(manifest: Manifest, stage: Stage, before: Points | None) -> Begun:
    """The same before the source has run, as if all its runs ended ok: inherited axes have no start and scale values.

    Args:
        manifest, stage: what will be planned.
        before: the points of the stage that it starts from, where it starts from one.
    """
    base = base_values(manifest, stage)
    if before is None:
        points = expand(stage, base=base)
        return Begun(points=points, columns=points.columns)
    if stage.start.pick == "nearest":
        points = expand(stage, base=base)
        columns, inherited = with_planned(stage, before.columns, before.n, points.columns)
        return Begun(points=points, columns=columns, inherited=inherited)
    leaf = planned_rows(stage, before.n, before.columns)
    points = expand(stage, source=leaf, base=base)
    return Begun(points=points, columns=points.columns, inherited=dict(leaf.axes))


def points_of(part: PlanPart) -> Points:
    """The points that a plan part holds."""
    axes, n = part.header["axes"], part.rows.num_rows
    columns = axis_columns(("replicate", *axes), as_table(part.rows), axes)
    return Points(n=n, columns=columns, n_before=n, n_excluded=0)


def _declared_axes(manifest: Manifest, stage: Stage) -> dict[str, dict[str, Any]]:
    """Axes of the source stage without its plan: their types are taken from the results."""
    stages = {s.name: s for s in manifest.stages}
    return {path: {} for path in stage_axes(stages[stage.start.source or ""], stages)}


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
