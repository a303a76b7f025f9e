"""Stages whose runs read all runs of a group: what is wrong with them, and the file of who reads whom."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from campaign.errors import Diagnostic, ManifestError, nearest
from campaign.manifest.diagnose import pointer
from campaign.manifest.model import Manifest, Stage
from campaign.schedule.resolve import ResolvedStage
from campaign.schedule.starts import as_table
from campaign.store.gather import array_of, known_fields
from campaign.store.members import members_file

_GROUPS = ("theta", "stderr", "derived", "metric", "truth", "problem", "engine", "start", "scale", "tag", "trace")


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathering:
    """What a plan part says of the runs that its runs read.

    Attributes:
        entry: of each program in its header.
        snapshots: files to keep with the campaign.
    """

    entry: Mapping[str, Any]
    snapshots: Mapping[str, bytes]


def gathering(stage: Stage, members: Mapping[str, bytes]) -> Gathering:
    """The file of members, and where the header says that it lies; nothing for a stage that reads no runs."""
    if not members:
        return Gathering(entry={}, snapshots={})
    name, content = members_file(members)
    return Gathering(entry={"gather": {"stage": stage.start.source, "file": name}}, snapshots={name: content})


def check_gathering(manifest: Manifest, stage: Stage, resolved: ResolvedStage) -> None:
    """A stage with the pick "group" has a problem that gathers, and the other way round; its fields have known forms.

    Raises:
        ManifestError: with every finding.
    """
    is_group = stage.start.source is not None and stage.start.pick == "group"
    found = []
    for name, fields in _problems(resolved).items():
        place = pointer(stage.place, "problem", "name")
        if is_group and not fields:
            message = f'the problem `{name}` reads no runs, and "pick": "group" is for problems that do'
            hint = 'give it `gather`, or start from single runs: "pick": "best" or "all"'
            found.append(Diagnostic(place=pointer(stage.place, "start", "pick"), message=message, hint=hint))
        if fields and not is_group:
            message = f"the problem `{name}` reads runs of an earlier stage"
            hint = 'for example "start": {"from": "fit", "pick": "group"}'
            found.append(Diagnostic(place=place, message=message, hint=hint))
        for field in fields:
            head, dot, rest = field.partition(".")
            if (dot and (head not in _GROUPS or not rest)) or not head:
                message = f"the problem `{name}` reads the unknown field `{field}`"
                hint = nearest(head, _GROUPS) if dot else "for example `theta.*`"
                found.append(Diagnostic(place=place, message=message, hint=hint))
        source = manifest.stage(stage.start.source or "") if is_group else None
        missing = sorted({array for field in fields if (array := array_of(field)) is not None})
        if source is not None and source.trace.is_nothing and missing:
            names = ", ".join(f"`{array}`" for array in missing)
            message = f"the problem `{name}` reads {names}, and the stage `{source.name}` records no arrays"
            place = pointer(source.place, "trace")
            found.append(Diagnostic(place=place, message=message, hint='write `"trace": true`, or name fields'))
    if found:
        raise ManifestError(found, source=manifest.source)


def check_fields(
    manifest: Manifest, stage: Stage, resolved: ResolvedStage, rows: Any, arrays: Collection[str] | None
) -> None:
    """The same, and every field that is gathered is one that the source's runs have.

    Args:
        manifest, stage, resolved: the later stage.
        rows: the source's summary rows, or None.
        arrays: names of the arrays that the source's runs have on disk; None: not known.

    Raises:
        ManifestError: with every finding.
    """
    check_gathering(manifest, stage, resolved)
    if stage.start.pick != "group" or rows is None:
        return
    known, found = known_fields(as_table(rows), arrays or ()), []
    for name, fields in _problems(resolved).items():
        for field in fields:
            is_known = any(k.startswith(field[:-1]) for k in known) if field.endswith(".*") else field in known
            if is_known or (arrays is None and array_of(field) is not None):
                continue
            message = (
                f"the problem `{name}` reads `{field}`, which the runs of stage `{stage.start.source}` do not have"
            )
            place = pointer(stage.place, "problem", "name")
            found.append(Diagnostic(place=place, message=message, hint=nearest(field.removesuffix(".*"), known)))
    if found:
        raise ManifestError(found, source=manifest.source)


def _problems(resolved: ResolvedStage) -> dict[str, tuple[str, ...]]:
    """Names of a stage's problems, with the fields that they gather."""
    return {str(one.problem["name"]): one.gather for one in resolved.resolved}
