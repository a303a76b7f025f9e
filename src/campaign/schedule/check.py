"""Everything that can be known to be wrong with a manifest before anything runs, in one list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from campaign.errors import Diagnostic, ManifestError
from campaign.manifest.diagnose import pointer
from campaign.manifest.load import Loaded, from_document, read
from campaign.manifest.model import Manifest, Stage
from campaign.manifest.nodes import ONE_POINT
from campaign.manifest.points import Points
from campaign.manifest.start import DEFAULTS
from campaign.schedule.gathering import check_gathering
from campaign.schedule.keeping import kept_files
from campaign.schedule.resolve import Resolved, ResolvedStage, resolve
from campaign.schedule.stage_points import expected, problem_document


def open_manifest(path: str | Path, settings: Sequence[str] = ()) -> Manifest:
    """Read a manifest file and check it against the plug-ins that it names.

    Args:
        path: of the manifest.
        settings: `key=value`, applied to it first.

    Raises:
        ManifestError: with every finding.
        UsageError: a setting that cannot be applied.
        DataFileError: the file cannot be read.
    """
    return checked(read(path, settings))


def open_document(document: Any, *, folder: str | Path = ".", source: str = "manifest") -> Manifest:
    """The same for a manifest that is a JSON document already.

    Raises:
        ManifestError: with every finding.
    """
    return checked(from_document(document, folder=folder, source=source))


def checked(loaded: Loaded) -> Manifest:
    """The manifest, if nothing is wrong with it.

    Raises:
        ManifestError: with every finding, those of reading first.
    """
    manifest = loaded.manifest
    found = list(loaded.findings)
    points: dict[str, Points] = {}
    groups: list[Resolved] = []
    for stage in manifest.stages:
        if _depends_on_broken(stage, points):
            continue
        if stage.is_broken:
            found.extend(_check_base(manifest, stage))
            continue
        try:
            points[stage.name], resolved = _check_stage(manifest, stage, points)
            groups.extend(resolved.resolved)
        except ManifestError as error:
            found.extend(error.diagnostics)
    if found:
        unique = {(d.place, d.message): d for d in found}
        raise ManifestError(unique.values(), source=manifest.source)
    return replace(manifest, kept=kept_files(manifest.document, manifest.folder, groups))


def _depends_on_broken(stage: Stage, points: dict[str, Points]) -> bool:
    return stage.start.source not in (None, DEFAULTS) and stage.start.source not in points


def _check_base(manifest: Manifest, stage: Stage) -> list[Diagnostic]:
    """Findings in the documents of a stage whose points are not known; a key may be missing, an axis would set it."""
    try:
        bare = replace(stage, node=ONE_POINT, include=None, derive=(), exclude=())
        resolve(manifest, bare, 1, {}, problem=problem_document(manifest, stage))
    except ManifestError as error:
        return [d for d in error.diagnostics if "is missing" not in d.message and "null is not" not in d.message]
    return []


def _check_stage(manifest: Manifest, stage: Stage, points: dict[str, Points]) -> tuple[Points, ResolvedStage]:
    """Expand and resolve a stage; where it starts from another, for the groups that the other will have."""
    before = points[stage.start.source] if stage.start.source not in (None, DEFAULTS) else None
    begun = expected(manifest, stage, before)
    expanded = begun.points
    if expanded.n == 0:
        message = f"the stage `{stage.name}` has no runs: all {expanded.n_before:,} points are excluded"
        raise ManifestError([Diagnostic(place=pointer(stage.place, "exclude"), message=message)])
    problem = problem_document(manifest, stage)
    resolved = resolve(manifest, stage, expanded.n, begun.columns, problem=problem, inherited=begun.inherited)
    check_gathering(manifest, stage, resolved)
    return replace(expanded, columns=begun.columns), resolved
