"""The files of a submission: kept with the campaign, and what has changed in them since the last one."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from campaign.analysis.check_foundation import has_plan
from campaign.errors import CampaignError, Damage
from campaign.identity import digest
from campaign.manifest import document as json_text
from campaign.manifest.load import loads
from campaign.schedule.check import open_document
from campaign.store.claim import Identity, read_identity
from campaign.store.copies import keep, restore
from campaign.store.kept import check_kept, differences, index_of, kept_in, read_kept
from campaign.store.layout import Layout
from campaign.store.waiting import being_planned

if TYPE_CHECKING:
    from campaign.manifest.model import Manifest

_MOST_NAMED = 5


def keep_files(layout: Layout, manifest: Manifest) -> tuple[Manifest, tuple[str, ...]]:
    """Copy a manifest's files. The manifest with the copies in the place of the originals, and what to say of them.

    Raises:
        DataFileError: a file has changed since it was read.
        Unavailable: the disk is full or cannot be written.
    """
    if manifest.kept is None or manifest.kept.tree is None:
        return manifest, ()
    notes = keep(layout, manifest.kept)
    return replace(manifest, folder=layout.kept(manifest.kept.tree)), notes


def folder_of(layout: Layout, identity: Identity, sha256: str) -> Path:
    """Where a stored manifest's files are: the copies, or the originals of a campaign that keeps none.

    Args:
        layout, identity: of the campaign.
        sha256: of the manifest.

    Raises:
        Damage: a copy is missing or has changed.
    """
    tree = identity.inputs.get(sha256)
    if tree is None:
        return Path(identity.folder)
    check_kept(layout.kept(tree))
    return layout.kept(tree)


def with_files(layout: Layout, text: bytes, *, source: str) -> Manifest:
    """A stored manifest, with the files that it was submitted with.

    Raises:
        ManifestError: it cannot be read.
        Damage: a copy is missing or has changed.
    """
    folder = folder_of(layout, read_identity(layout), digest(json_text.parse(text, source=source)))
    return replace(loads(text, folder=folder, source=source), kept=read_kept(folder))


def put_back(layout: Layout, tree: str, path: Path) -> str | None:
    """A damaged file of a tree, or its index, made again. None: it is as it was; else why it cannot be.

    A file is where the manifest is, or in another tree. An index follows from the manifest and the files, the originals
    or their copies; its tree's name tells whether it is the same.
    """
    folder, identity = layout.kept(tree), read_identity(layout)
    if path != index_of(folder):
        for name, file in kept_in(folder).files.items():
            if file.source == path and restore(layout, file, [Path(identity.folder) / name]):
                return None
    for version in (layout.manifest, *sorted(layout.history.glob("*.json"), reverse=True)):
        for beside in (Path(identity.folder), folder):
            with contextlib.suppress(CampaignError, OSError):
                document = json_text.parse(version.read_bytes(), source=str(version))
                kept = open_document(document, folder=beside, source=str(version)).kept
                if kept is not None and kept.tree == tree:
                    keep(layout, kept)
                    return None
    return (
        "neither the files next to the manifest nor other copies are those that were submitted; put it back from a copy"
    )


def changes(layout: Layout, identity: Identity | None, manifest: Manifest) -> tuple[str, ...]:
    """What is different in the files of a manifest from those of the last submission, a sentence each."""
    tree, before = last_tree(identity), None
    with contextlib.suppress(Damage):  # this submission replaces the index
        before = read_kept(layout.kept(tree)) if tree else None
    if before is None or manifest.kept is None:
        return ()
    changed, added, gone = differences(before, manifest.kept)
    code = {name for kept in (before, manifest.kept) for one in kept.code.values() for name in one.files}
    said = []
    for names, what in ((changed, "changed"), (added, "been added"), (gone, "been removed")):
        if names := [name for name in names if what == "changed" or name in code]:
            has, it = ("has", "it") if len(names) == 1 else ("have", "them")
            said.append(f"{_listed(names)} {has} {what} since the last submission: {_THEN.format(it)}")
    return tuple(said)


_THEN = "runs that depend on {} are new ones, and those done before leave the table (their records stay on disk)"


def last_tree(identity: Identity | None) -> str | None:
    """The tree of the last submission."""
    return list(identity.inputs.values())[-1] if identity is not None and identity.inputs else None


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(f"`{name}`" for name in names[:_MOST_NAMED]) + more


def stored_manifest(layout: Layout) -> Manifest:
    """The manifest as submitted last.

    Raises:
        UsageError: the directory is not a campaign.
        Incomplete: its submission has not come that far, or ended before.
        Damage: its identity, its manifest, or a copy of the files that it was submitted with is.
    """
    read_identity(layout)
    try:
        text = layout.manifest.read_bytes()
    except FileNotFoundError:
        early = None if has_plan(layout) else being_planned(layout)
        hint = f"run `campaign verify {layout.root} --repair`"
        raise early or Damage(f"{layout.manifest} is missing", hint=hint) from None
    return with_files(layout, text, source=str(layout.manifest))
