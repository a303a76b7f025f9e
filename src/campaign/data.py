"""Input files: where they are, and what is in them (SHA-256).

A name is looked for

1. in the folder of the manifest (relative, never outside of it),
2. in the folder that the environment variable ``CAMPAIGN_DATA`` names,
3. in the user's cache, ``$XDG_CACHE_HOME/campaign`` or ``~/.cache/campaign``,
4. in ``shared/data`` beside the checkout, where there is one.

In 2–4 a name may leave out leading folders: ``Misra1a.dat`` finds ``nist/Misra1a.dat``.
"""

from __future__ import annotations

import hashlib
import os
from functools import lru_cache
from pathlib import Path, PurePosixPath

from campaign.errors import DataFileError

_CHUNK = 2**20  # bytes read at once
_MAX_LISTED = 200_000  # files of one root that are looked through


def roots() -> tuple[Path, ...]:
    """The folders of known data sets that exist, in the order in which they are asked."""
    named = [Path(part) for part in os.environ.get("CAMPAIGN_DATA", "").split(os.pathsep) if part]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "campaign"
    beside = Path(__file__).resolve().parents[2].parent / "shared" / "data"
    return tuple(folder.resolve() for folder in (*named, cache, beside) if folder.is_dir())


def checked_name(name: str) -> PurePosixPath:
    """A relative name without escapes.

    Raises:
        DataFileError: absolute, a URL, with `..`, with a backslash or a NUL, or empty.
    """
    path = PurePosixPath(name)
    reasons = {
        "is empty": not name.strip(),
        "is a URL": "://" in name,
        "is an absolute path": path.is_absolute() or name.startswith("~") or name[1:2] == ":",
        "leaves its folder with `..`": ".." in path.parts,
        "holds a backslash or a control character": "\\" in name or any(ord(c) < 32 for c in name),
    }
    for reason, applies in reasons.items():
        if applies:
            raise DataFileError(
                f"the file name `{name[:200]}` {reason}", hint="name a file relative to the manifest, inside its folder"
            )
    return path


def inside(folder: Path, name: str) -> Path | None:
    """The file `name` inside a folder, or None where there is none.

    Raises:
        DataFileError: an escaping name, or a link that leads out of the folder.
    """
    base = Path(folder).resolve()
    path = base / checked_name(name)
    if not path.is_file():
        return None
    if not path.resolve().is_relative_to(base):
        raise DataFileError(f"the file `{name}` is a link out of {base}", hint="copy the file next to the manifest")
    return path


def find(name: str, folder: Path | None = None) -> Path:
    """The absolute path of an input file.

    Args:
        name: relative name, for example ``nist/Misra1a.dat``.
        folder: of the manifest; None asks the data folders only.

    Raises:
        DataFileError: nowhere, ambiguous or escaping; says where was looked.
    """
    wanted = checked_name(name)
    if folder is not None and (path := inside(folder, name)) is not None:
        return path
    asked = roots()
    for root in asked:
        if (root / wanted).is_file():
            return root / wanted
    for root in asked:
        matches = _listing(root).get(wanted.name, ())
        matches = [m for m in matches if PurePosixPath(m).parts[-len(wanted.parts) :] == wanted.parts]
        if len({sha256(root / m) for m in matches}) > 1:
            raise DataFileError(
                f"the name `{name}` fits several files under {root}: {', '.join(sorted(matches)[:5])}",
                hint="write the name with its folder",
            )
        if matches:
            return root / sorted(matches)[0]
    places = [str(p) for p in ([folder] if folder is not None else []) + list(asked)]
    raise DataFileError(
        f"the file `{name}` was not found (looked in: {', '.join(places) or 'no folder'})",
        hint="put it next to the manifest, or set CAMPAIGN_DATA to the folder that holds it",
    )


@lru_cache(maxsize=16)
def _listing(root: Path) -> dict[str, tuple[str, ...]]:
    """File name → relative paths, below a root."""
    found: dict[str, list[str]] = {}
    n = 0
    for base, folders, files in os.walk(root):
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        for file in files:
            found.setdefault(file, []).append(Path(base, file).relative_to(root).as_posix())
            n += 1
        if n > _MAX_LISTED:
            break
    return {name: tuple(paths) for name, paths in found.items()}


def sha256(path: Path) -> str:
    """SHA-256 of a file's content, 64 hexadecimal digits.

    Raises:
        DataFileError: the file cannot be read.
    """
    try:
        status = os.stat(path)
        return _sha256(str(path), status.st_size, status.st_mtime_ns)
    except OSError as error:
        raise DataFileError(f"the file `{path}` cannot be read: {error.strerror}") from error


@lru_cache(maxsize=65536)
def _sha256(path: str, size: int, mtime_ns: int) -> str:
    state = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            state.update(chunk)
    return state.hexdigest()


def verified(path: Path, expected: str) -> Path:
    """The path, if its content still has the hash that the plan recorded.

    Raises:
        DataFileError: the content has changed, or the file is gone.
    """
    seen = sha256(path)
    if seen != expected:
        raise DataFileError(
            f"the file `{path}` has changed since it was planned (SHA-256 {seen[:12]}…, planned {expected[:12]}…)",
            hint="restore it, or submit again: runs on the new content are new runs",
        )
    return path
