"""Whose the directory is and what it was asked to do: `campaign.json`, `manifest.json` and its history."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from campaign.analysis.finding import NONE, REBUILD, REDO, Finding
from campaign.analysis.journal import Journal
from campaign.errors import Damage
from campaign.identity import digest
from campaign.store.claim import read_identity
from campaign.store.layout import Layout
from campaign.store.records import loads

_IS_CAMPAIGN = ("plan", "summaries", "history", "manifest.json", "campaign.json")


def is_campaign(layout: Layout) -> bool:
    """Whether a directory holds, or held, a campaign that has begun."""
    return any((layout.root / name).exists() for name in _IS_CAMPAIGN)


def check_foundation(layout: Layout, journal: Journal) -> Iterator[Finding]:
    """The identity, the manifest and its earlier versions."""
    if not is_campaign(layout):
        return
    yield from _check_identity(layout)
    yield from _check_manifest(layout, journal)


def _check_identity(layout: Layout) -> Iterator[Finding]:
    place = layout.identity.relative_to(layout.root).as_posix()
    try:
        read_identity(layout)
    except Damage as error:
        yield Finding(kind="identity", place=place, message=_said(error, layout.identity), repair=REBUILD)
    except Exception as error:  # no such file, or a queued driver's directory
        if layout.identity.exists():
            raise
        yield Finding(kind="identity", place=place, message=f"missing: {error}".partition(":")[0], repair=REBUILD)


def _check_manifest(layout: Layout, journal: Journal) -> Iterator[Finding]:
    """The manifest in force and its copy, the latest version under `history/`; versions before it.

    Between `campaign.json` and the first plan a submission writes both; one that ends there has lost nothing.
    """
    place = layout.manifest.relative_to(layout.root).as_posix()
    versions = history(layout)
    for path in versions[:-1]:
        fault = _fault(path)
        if fault is not None:
            where = path.relative_to(layout.root).as_posix()
            message = f"{fault}; this earlier version of the manifest is lost, which only people read"
            yield Finding(kind="manifest", place=where, message=message, repair=REDO, paths=(where,))
    copy = versions[-1] if versions else version(layout, 0)
    where, faults = copy.relative_to(layout.root).as_posix(), (_fault(layout.manifest), _fault(copy))
    if "missing" in faults and not has_plan(layout):
        return
    for said, which in zip(faults, (place, where), strict=True):
        if said is not None:
            yield Finding(kind="manifest", place=which, message=said, repair=REBUILD)
    if faults != (None, None) or layout.manifest.read_bytes() == copy.read_bytes():
        return
    if len(versions) > 1 and versions[-2].read_bytes() == layout.manifest.read_bytes():
        return  # a process ended between keeping the new version and putting it in force
    known = (journal.driver or {}).get("manifest")
    sums = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (layout.manifest, copy)]
    if known == sums[1]:
        yield Finding(kind="manifest", place=place, message="it is not what the last driver read", repair=REBUILD)
    elif known == sums[0]:
        if digest(loads(copy.read_bytes())) in {event.get("manifest_sha256") for event in journal.submitted.values()}:
            where = version(layout, int(copy.stem) + 1).relative_to(layout.root).as_posix()
        yield Finding(kind="manifest", place=where, message="it is not what the last driver read", repair=REBUILD)
    else:
        message = f"differs from {where}, and no journal says which was submitted; `campaign submit` the right one"
        yield Finding(kind="manifest", place=place, message=message, repair=NONE)


def has_plan(layout: Layout) -> bool:
    """Whether a driver got as far as a plan: from then on the manifest and its copy are both there."""
    return any((layout.root / name).exists() for name in ("plan", "summaries"))


def version(layout: Layout, number: int) -> Path:
    """Where a version of the manifest is kept."""
    return layout.history / f"{number:04d}.json"


def history(layout: Layout) -> list[Path]:
    """The versions of the manifest, the latest one last."""
    found = layout.history.glob("*.json") if layout.history.is_dir() else ()
    return sorted((path for path in found if path.stem.isdigit()), key=lambda path: int(path.stem))


def _fault(path: Path) -> str | None:
    """What is wrong with a manifest; it is a person's text, without a checksum."""
    try:
        document = loads(path.read_bytes())
    except FileNotFoundError:
        return "missing"
    except ValueError as error:
        return f"not JSON ({error})"
    return None if isinstance(document, dict) else "not a JSON object"


def _said(error: Damage, path: Path) -> str:
    """The message without the path, which comes before it already."""
    return error.message.removeprefix(f"{path} is ").removeprefix(f"{path} ")
