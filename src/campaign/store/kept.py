"""What a campaign keeps of the files that it was made from: one tree a submission, and an index with their hashes.

::

    inputs/<tree>/<name>   a copy under the name that the file has beside the manifest; what was imported from a folder
                           of PYTHONPATH is below ``path-0``, ``path-1`` …
    inputs/<tree>.json     the index: hash and size of each, and which of them a problem file imports

The name of a tree is the hash of its index: equal files are kept once, and a tree never changes.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from itertools import chain
from pathlib import Path
from typing import Any

from campaign import data
from campaign.errors import Damage, DataFileError
from campaign.identity import digest
from campaign.store.atomic import naming, publish_many, publishing, sync_folder, temporary_name
from campaign.store.layout import Layout
from campaign.store.records import publish_json, read_json

SCHEMA = "campaign.inputs/1"
COPIED_UP_TO = 100_000_000  # bytes; a larger file is linked
_AT_ONCE = 64_000_000  # bytes of copies that are in memory together


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptFile:
    """A file to keep.

    Attributes:
        source: where it is now.
        sha256: of its content.
        content: the bytes that were read, where they are known; None reads the source.
    """

    source: Path
    sha256: str
    content: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptCode:
    """The code of a problem file.

    Attributes:
        roots: folders of the tree in which its modules are looked up, in order.
        files: name → SHA-256 of the file, the modules that it imports, and what they read while they are imported.
    """

    roots: tuple[str, ...]
    files: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Files to keep, or kept.

    Attributes:
        files: name in the tree → file.
        code: name of a problem file → what belongs to it.
    """

    files: Mapping[str, KeptFile]
    code: Mapping[str, KeptCode]

    @property
    def tree(self) -> str | None:
        """Name of the tree; None of no files."""
        return digest(self.document())[:16] if self.files else None

    def document(self) -> dict[str, Any]:
        """The index, without sizes."""
        return {
            "files": {name: file.sha256 for name, file in sorted(self.files.items())},
            "code": {
                name: {"roots": list(code.roots), "files": sorted(code.files)}
                for name, code in sorted(self.code.items())
            },
        }


def code_hash(problem: str, files: Mapping[str, str]) -> str:
    """The hash of a problem file's code in run ids: of the file, or where it imports others of all of them."""
    return files[problem] if set(files) == {problem} else digest(dict(files))


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


def index_of(folder: Path) -> Path:
    """The index of a tree."""
    return folder.with_name(folder.name + ".json")


def read_kept(folder: Path) -> Kept | None:
    """The files of a tree, from its index; None where a folder has none: it is no tree.

    Raises:
        Damage: the index is not that of the tree.
    """
    try:
        status = index_of(folder).stat()
    except OSError:
        return None
    return _read(str(folder), status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=64)
def _read(folder: str, mtime_ns: int, size: int) -> Kept | None:
    path = Path(folder)
    document = read_json(index_of(path))
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        return None
    try:
        hashes = {str(data.checked_name(name)): entry["sha256"] for name, entry in document["files"].items()}
        code = {
            name: KeptCode(
                roots=tuple(str(data.checked_name(root)) for root in one["roots"]),
                files={file: hashes[file] for file in one["files"]},
            )
            for name, one in document["code"].items()
        }
    except (DataFileError, KeyError, TypeError, AttributeError) as error:
        raise Damage(f"{index_of(path)} is not an index of files: {error}", hint="submit the manifest again") from error
    kept = Kept(files={name: KeptFile(source=path / name, sha256=h) for name, h in hashes.items()}, code=code)
    if kept.tree != path.name:
        raise Damage(f"{index_of(path)} has been changed", hint="submit the manifest again: the files are copied again")
    return kept


def kept_in(folder: Path) -> Kept:
    """The files of a tree.

    Raises:
        Damage: its index is missing or has changed.
    """
    kept = read_kept(folder)
    if kept is None:
        raise Damage(f"{index_of(folder)} is missing", hint=_REPAIR)
    return kept


def check_kept(folder: Path) -> Kept:
    """The files of a tree, each of them the one that was submitted.

    Raises:
        Damage: one is missing or has changed.
    """
    kept = kept_in(folder)
    for file in kept.files.values():
        check_file(file)
    return kept


def check_file(file: KeptFile) -> None:
    """A kept file is the one that was submitted.

    Raises:
        Damage: it is missing or has changed.
    """
    try:
        seen = data.sha256(file.source)
    except DataFileError as error:
        raise Damage(error.message, hint=_REPAIR) from error
    if seen != file.sha256:
        message = f"{file.source} has been changed (SHA-256 {seen[:12]}…, submitted with {file.sha256[:12]}…)"
        raise Damage(message, hint=_REPAIR)


_REPAIR = "submit the manifest again where the file is as it was: damaged copies are replaced"


def differences(before: Kept, after: Kept) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Names of files that have changed, that are new, and that are gone."""
    both = before.files.keys() & after.files.keys()
    changed = tuple(sorted(name for name in both if before.files[name].sha256 != after.files[name].sha256))
    added, gone = after.files.keys() - before.files.keys(), before.files.keys() - after.files.keys()
    return changed, tuple(sorted(added)), tuple(sorted(gone))
