"""Submissions whose driver waits in a cluster's queue: manifest and files as they were when they were submitted.

`submit --detach` copies the files into the campaign at once, as a driver does, and writes
``lock/submission-<hash>.json``. The driver's job submits that file in the place of the manifest: what is edited while
it waits does not change what runs.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from campaign.errors import Damage
from campaign.identity import digest
from campaign.manifest.load import loads
from campaign.schedule.check import open_manifest
from campaign.store.copies import keep
from campaign.store.kept import check_kept
from campaign.store.layout import Layout
from campaign.store.records import dumps_pretty, publish_json, read_json

if TYPE_CHECKING:
    from campaign.manifest.model import Manifest

SCHEMA = "campaign.submission/1"
_NAME = re.compile(r"submission-[0-9a-f]{16}\.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """What has been submitted.

    Attributes:
        manifest: with the folder in which its files are: that of the originals, or of the copies.
        text: of the manifest, as the campaign records it.
        folder: where the manifest lay.
    """

    manifest: Manifest
    text: bytes
    folder: Path


def opened(path: Path, settings: Sequence[str] = ()) -> Submission:
    """What is submitted now, or what was held when it was submitted.

    Args:
        path: of a manifest, or of a submission that was held.
        settings: changes of single values of a manifest.

    Raises:
        ManifestError, UsageError, DataFileError: as `open_manifest`.
        Damage: a submission that was held is damaged, or the copies of its files are.
    """
    if path.parent.name == "lock" and _NAME.fullmatch(path.name):
        return _held(path)
    manifest = open_manifest(path, settings)
    text = dumps_pretty(manifest.document) if settings else path.read_bytes()
    return Submission(manifest=manifest, text=text, folder=manifest.folder)


def held_at(layout: Layout, submission: Submission) -> Path:
    """Where a submission is held; equal ones are held once."""
    return layout.submission(digest(_document(submission))[:16])


def hold(layout: Layout, submission: Submission) -> Path:
    """Keep a submission for a driver that is yet to begin: the file that it is to submit.

    Raises:
        DataFileError: a file has changed since it was read.
        Unavailable: the disk is full or cannot be written.
    """
    path = held_at(layout, submission)
    publish_json(path, {"schema": SCHEMA, **_document(submission)})
    if submission.manifest.kept is not None:
        keep(layout, submission.manifest.kept)
    return path


def _document(submission: Submission) -> dict[str, str | None]:
    kept = submission.manifest.kept
    return {
        "manifest": submission.text.decode(),
        "folder": str(submission.folder.resolve()),
        "tree": kept.tree if kept is not None else None,
    }


def _held(path: Path) -> Submission:
    layout, document = Layout(path.resolve().parents[1]), read_json(path)
    if document.get("schema") != SCHEMA:
        raise Damage(f"{path} is not a submission", hint="submit the manifest again")
    text, folder, tree = document["manifest"].encode(), Path(document["folder"]), document["tree"]
    place = folder if tree is None else layout.kept(tree)
    kept = None if tree is None else check_kept(place)
    manifest = replace(loads(text, folder=place, source=str(path)), kept=kept)
    return Submission(manifest=manifest, text=text, folder=folder)
