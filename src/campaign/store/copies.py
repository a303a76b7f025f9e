"""Copies of the files that a submission was made from: written into a tree, linked, put back."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import cache
from itertools import chain
from pathlib import Path

from campaign import data
from campaign.errors import Damage
from campaign.store.atomic import naming, publish_many, publishing, sync_folder, temporary_name
from campaign.store.kept import SCHEMA, Kept, KeptFile, index_of, read_kept
from campaign.store.layout import Layout
from campaign.store.records import publish_json

COPIED_UP_TO = 100_000_000  # bytes; a larger file is linked
_AT_ONCE = 64_000_000  # bytes of copies that are in memory together


def keep(layout: Layout, kept: Kept) -> tuple[str, ...]:
    """Write a tree and its index. What an earlier tree holds already is linked, not copied.

    Returns:
        What a person should know: large files are not copied.

    Raises:
        DataFileError: a file has changed since it was read.
        Unavailable: the disk is full or cannot be written.
    """
    tree = kept.tree
    if tree is None:
        return ()
    folder, here = layout.kept(tree), cache(lambda: _copies(layout))
    notes: list[str] = []
    batch: list[tuple[Path, KeptFile]] = []
    n_bytes = 0
    for name, file in kept.files.items():
        path = folder / name
        if _is_whole(path, file.sha256):
            continue
        size = file.source.stat().st_size if file.content is None else len(file.content)
        if size > COPIED_UP_TO:
            notes.append(_linked(path, name, file))
        elif not _link(here().get(file.sha256), path, file.sha256):
            batch.append((path, file))
            n_bytes += size
        if n_bytes > _AT_ONCE:
            _publish(batch)
            batch, n_bytes = [], 0
    _publish(batch)
    sized = {name: {"sha256": f.sha256, "bytes": (folder / name).stat().st_size} for name, f in kept.files.items()}
    publish_json(index_of(folder), {"schema": SCHEMA, **kept.document(), "files": sized})
    return tuple(notes)


def _publish(batch: Sequence[tuple[Path, KeptFile]]) -> None:
    if batch:
        publish_many([(path, _content(file)) for path, file in batch])
    for path, file in batch:
        if file.content is None and os.access(file.source, os.X_OK):
            mode = path.stat().st_mode
            path.chmod(mode | (mode & 0o444) >> 2)  # who may read a program may run it


def _content(file: KeptFile) -> bytes:
    if file.content is not None:
        return file.content
    data.verified(file.source, file.sha256)
    return file.source.read_bytes()


def _is_whole(path: Path, sha256: str) -> bool:
    return path.is_file() and data.sha256(path) == sha256


def _linked(path: Path, name: str, file: KeptFile) -> str:
    """Link a large file, or copy it where it lies on another disk; what to say of it."""
    data.verified(file.source, file.sha256)
    source = file.source.resolve()
    gigabytes = f"{source.stat().st_size / 1e9:.2g} GB"
    if _link(source, path, file.sha256):
        return f"`{name}` ({gigabytes}) is kept as a hard link, not as a copy: do not edit it in place"
    with publishing(path) as temporary:
        shutil.copyfile(source, temporary)
    return f"`{name}` ({gigabytes}) has been copied into the campaign, which lies on another disk"


def _link(source: Path | None, path: Path, sha256: str) -> bool:
    """A hard link to a file that still has its content; False where that cannot be."""
    if source is None or not _is_whole(source, sha256):
        return False
    try:
        _put(path, lambda temporary: os.link(source, temporary))
    except OSError:
        return False
    return True


def _put(path: Path, make: Callable[[Path], None]) -> None:
    temporary = temporary_name(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with naming(path):
        make(temporary)
        os.replace(temporary, path)
        temporary.unlink(missing_ok=True)  # two names of one file: renaming one to the other does nothing
        sync_folder(path.parent)


def restore(layout: Layout, file: KeptFile, sources: Iterable[Path]) -> bool:
    """Put a file of a tree back from one of these places, or from another tree; False where none has its content."""
    trees = (read_kept(index.with_suffix("")) for index in sorted(layout.inputs.glob("*.json")) if _is_index(index))
    others = (other.source for kept in trees if kept for other in kept.files.values() if other.sha256 == file.sha256)
    for source in chain(sources, others):
        if source != file.source and _is_whole(source, file.sha256):
            known = replace(file, source=source)
            if source.stat().st_size > COPIED_UP_TO:
                _linked(file.source, file.source.name, known)
            else:
                _publish([(file.source, known)])
            return True
    return False


def _is_index(path: Path) -> bool:
    try:
        return read_kept(path.with_suffix("")) is not None
    except Damage:
        return False


def _copies(layout: Layout) -> dict[str, Path]:
    """SHA-256 → a file of an earlier tree."""
    found: dict[str, Path] = {}
    for index in sorted(layout.inputs.glob("*.json")):
        with contextlib.suppress(Damage):
            earlier = read_kept(index.with_suffix(""))
            found |= {file.sha256: file.source for file in earlier.files.values()} if earlier else {}
    return found
