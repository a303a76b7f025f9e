"""The files of a submission: kept with the campaign, and what has changed in them since the last one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from campaign.store.claim import Identity
from campaign.store.kept import check_kept, differences, keep, read_kept
from campaign.store.layout import Layout

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


def changes(layout: Layout, identity: Identity | None, manifest: Manifest) -> tuple[str, ...]:
    """What is different in the files of a manifest from those of the last submission, a sentence each."""
    tree = last_tree(identity)
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
