"""What a campaign keeps of the files that it was made from: one tree a submission, and an index with their hashes.

::

    inputs/<tree>/<name>   a copy under the name that the file has next to the manifest; what was imported from a folder
                           of PYTHONPATH is below ``path-0``, ``path-1`` …
    inputs/<tree>.json     the index: hash and size of each, and which of them a problem file imports

The name of a tree is the hash of its index: equal files are kept once, and a tree never changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from campaign import data
from campaign.errors import Damage, DataFileError
from campaign.identity import digest
from campaign.store.records import read_json

SCHEMA = "campaign.inputs/1"


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
