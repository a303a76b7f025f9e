"""Whose the directory is and what it was asked to do: `campaign.json`, `manifest.json` and its history."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from campaign.analysis.finding import NONE, REBUILD, REDO, Finding
from campaign.analysis.journal import Journal
from campaign.errors import Damage
from campaign.store.claim import read_identity
from campaign.store.layout import Layout
from campaign.store.records import read_json

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
    place = layout.manifest.relative_to(layout.root).as_posix()
    versions = history(layout)
    for path in versions[:-1]:
        fault = _fault(path)
        if fault is not None:
            where = path.relative_to(layout.root).as_posix()
            message = f"{fault}; this earlier version of the manifest is lost, which only people read"
            yield Finding(kind="manifest", place=where, message=message, repair=REDO, paths=(where,))
    fault = _fault(layout.manifest)
    if not versions:
        if fault is not None and (layout.manifest.exists() or layout.plan_folder("x").parent.exists()):
            message = f"{fault}, and there is no copy under {layout.history.name}/"
            hint = f"put it back, or `campaign submit MANIFEST -d {layout.root}`"
            yield Finding(kind="manifest", place=place, message=f"{message}; {hint}", repair=NONE)
        return
    latest = versions[-1]
    where = latest.relative_to(layout.root).as_posix()
    fault_of_copy = _fault(latest)
    texts = [path.read_bytes() if path.exists() else b"" for path in (layout.manifest, latest)]
    if fault is None and fault_of_copy is None and texts[0] == texts[1]:
        return
    if fault is not None or fault_of_copy is not None:
        for said, which in ((fault, place), (fault_of_copy, where)):
            if said is not None:
                yield Finding(kind="manifest", place=which, message=said, repair=REBUILD)
        return
    if len(versions) > 1 and versions[-2].read_bytes() == texts[0]:
        return  # a process ended between keeping the new version and putting it in force
    known = (journal.driver or {}).get("manifest")
    sums = [hashlib.sha256(text).hexdigest() for text in texts]
    if known in sums:
        damaged = where if known == sums[0] else place
        yield Finding(kind="manifest", place=damaged, message="it is not what the last driver read", repair=REBUILD)
    else:
        message = f"differs from {where}, and no journal says which was submitted; `campaign submit` the right one"
        yield Finding(kind="manifest", place=place, message=message, repair=NONE)


def history(layout: Layout) -> list[Path]:
    """The versions of the manifest, the latest one last."""
    found = layout.history.glob("*.json") if layout.history.is_dir() else ()
    return sorted((path for path in found if path.stem.isdigit()), key=lambda path: int(path.stem))


def _fault(path: Path) -> str | None:
    try:
        document = read_json(path)
    except FileNotFoundError:
        return "missing"
    except Damage as error:
        return _said(error, path)
    return None if isinstance(document, dict) else "not a JSON object"


def _said(error: Damage, path: Path) -> str:
    """The message without the path, which stands before it already."""
    return error.message.removeprefix(f"{path} is ").removeprefix(f"{path} ")
