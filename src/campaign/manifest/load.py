"""Manifest text → Manifest. All findings at once; plug-ins are not asked here (see `schedule.check`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from campaign.errors import CampaignError, DataFileError, Diagnostic, ManifestError
from campaign.identity import digest
from campaign.manifest import document as json_text
from campaign.manifest.diagnose import pointer, shown, translate
from campaign.manifest.model import Execution, Manifest, ManifestDocument, Stage, StageDocument
from campaign.manifest.settings import with_settings
from campaign.manifest.stage import check_links, parse_stage

ONE_STAGE = "main"
_STAGE_KEYS = frozenset(StageDocument.model_fields) - {"name"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What could be read of a manifest, and everything that is wrong with it."""

    manifest: Manifest
    findings: tuple[Diagnostic, ...]


def load(path: str | Path) -> Manifest:
    """Read and check a manifest file.

    Raises:
        ManifestError: with every finding.
        DataFileError: the file cannot be read.
    """
    return _raise_findings(read(path))


def loads(text: str | bytes, *, folder: str | Path = ".", source: str = "manifest") -> Manifest:
    """Check a manifest's text. `folder` is where its relative file names start.

    Raises:
        ManifestError: with every finding.
    """
    return _raise_findings(reads(text, folder=folder, source=source))


def read(path: str | Path, settings: Sequence[str] = ()) -> Loaded:
    """Read a manifest file, with its findings as a value.

    Args:
        path: of the manifest.
        settings: `key=value`, applied to the document first (`manifest.settings`).

    Raises:
        ManifestError: not JSON.
        UsageError: a setting that cannot be applied.
        DataFileError: the file cannot be read.
    """
    path = Path(path)
    try:
        if path.stat().st_size > json_text.MAX_BYTES:
            with path.open("rb") as file:
                text = file.read(json_text.MAX_BYTES + 1)
        else:
            text = path.read_bytes()
    except OSError as error:
        raise DataFileError(f"the manifest `{path}` cannot be read: {error.strerror}") from None
    document = with_settings(json_text.parse(text, source=path.name), settings)
    return from_document(document, folder=path.resolve().parent, source=path.name)


def reads(text: str | bytes, *, folder: str | Path = ".", source: str = "manifest") -> Loaded:
    """Read a manifest's text, with its findings as a value.

    Raises:
        ManifestError: not JSON.
    """
    return from_document(json_text.parse(text, source=source), folder=folder, source=source)


def from_document(document: Any, *, folder: str | Path = ".", source: str = "manifest") -> Loaded:
    """Parse a manifest that is a JSON document already.

    Raises:
        ManifestError: no object, or values that JSON has no word for.
    """
    if not isinstance(document, dict):
        raise ManifestError(
            [Diagnostic(place="", message=f"a manifest is an object, not {shown(document)}")], source=source
        )
    try:
        sha256 = digest(document)
    except CampaignError as error:
        raise ManifestError([Diagnostic(place="", message=error.message)], source=source) from None
    found: list[Diagnostic] = []
    folder = Path(folder).resolve()
    full, places = _stages_form(document, found)
    top = _validate(ManifestDocument, full, "", found, hidden=frozenset({"stages"} - document.keys()))
    seed = top.seed if top else 0
    stages = _stages(full.get("stages"), places, folder, seed, found)
    execution = _validate(Execution, full.get("execution", {}), "/execution", found) or Execution.model_validate({})
    profiles = _profiles(full.get("profiles", {}), execution, found)
    manifest = Manifest(
        name=top.name if top else "",
        seed=seed,
        description=top.description if top else "",
        stages=tuple(stages),
        execution=execution,
        profiles=profiles,
        folder=folder,
        sha256=sha256,
        document=document,
        source=source,
    )
    return Loaded(manifest=manifest, findings=tuple(found))


def _raise_findings(loaded: Loaded) -> Manifest:
    if loaded.findings:
        raise ManifestError(loaded.findings, source=loaded.manifest.source)
    return loaded.manifest


def _stages_form(document: dict[str, Any], found: list[Diagnostic]) -> tuple[dict[str, Any], list[str]]:
    """The one-stage form written with `stages`, and the place of each stage."""
    own = {key: value for key, value in document.items() if key in _STAGE_KEYS}
    if "stages" in document:
        for key in own:
            message = f"`{key}` is given next to `stages`"
            found.append(Diagnostic(place=pointer("", key), message=message, hint=f"move `{key}` into a stage"))
        stages = document["stages"]
        rest = {key: value for key, value in document.items() if key not in own}
        return rest, [pointer("/stages", i) for i in range(len(stages) if isinstance(stages, list) else 0)]
    rest = {key: value for key, value in document.items() if key not in own}
    return {**rest, "stages": [{"name": ONE_STAGE, **own}]}, [""]


def _validate(
    model: type[BaseModel], value: Any, place: str, found: list[Diagnostic], hidden: frozenset[str] = frozenset()
) -> Any:
    """The validated model, or None after findings."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        extra = tuple(sorted(_STAGE_KEYS)) if hidden else ()
        found.extend(d for d in translate(error, model, place, extra=extra))
        return None


def _stages(documents: Any, places: list[str], folder: Path, seed: int, found: list[Diagnostic]) -> list[Stage]:
    stages: list[Stage] = []
    parsed: list[StageDocument] = []
    if not isinstance(documents, list):
        return stages
    for value, place in zip(documents, places, strict=True):
        stage = _validate(StageDocument, value, place, found)
        if stage is None:  # go on with what is readable, so that one wrong key does not hide other findings
            stage = _lenient(value)
        if stage is not None:
            parsed.append(stage)
            stages.append(parse_stage(stage, place, folder, seed, found))
    check_links(parsed, dict(zip((s.name for s in parsed), places, strict=False)), stages, found)
    return stages


def _lenient(value: Any) -> StageDocument | None:
    """The stage without the keys that do not validate, or None when it has not even a name."""
    if not isinstance(value, Mapping):
        return None
    kept = dict(value)
    for _ in range(2):
        try:
            return StageDocument.model_validate(kept)
        except ValidationError as error:
            bad = {found["loc"][0] for found in error.errors() if found["loc"]}
            kept = {key: item for key, item in kept.items() if key not in bad}
    return None


def _profiles(value: Any, base: Execution, found: list[Diagnostic]) -> Mapping[str, Mapping[str, Any]]:
    profiles = {}
    for name, changes in (value if isinstance(value, dict) else {}).items():
        place = pointer("/profiles", name)
        if not isinstance(changes, dict):
            found.append(Diagnostic(place=place, message=f"a profile is an object, not {shown(changes)}"))
        elif _validate(Execution, changes, place, found) is not None:
            profiles[name] = changes
    return profiles
