"""Which files people's code reads while it is imported or builds a problem: an audit hook on `open` listens.

Files that a library opens in C are not heard.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path, PurePath
from typing import NamedTuple

from campaign.problem.own_code import MARK, OwnCode
from campaign.whose import is_own_file


class Read(NamedTuple):
    """A file that was opened: its absolute path, whether it was given so, and whether it is a module."""

    path: Path
    is_absolute: bool
    is_module: bool = False


_listening: list[list[Read]] = []


class Reads(NamedTuple):
    """What was read.

    Attributes:
        beside: name → path of the files that lie beside the code.
        elsewhere: paths of other files that are nobody's but people's own.
        relative: names of files that were opened relative to the current folder.
        dynamic: modules of people's own that were not imported by an `import` of the code (`importlib.import_module`).
    """

    beside: dict[str, Path]
    elsewhere: tuple[str, ...] = ()
    relative: tuple[str, ...] = ()
    dynamic: tuple[str, ...] = ()


@contextlib.contextmanager
def noted() -> Iterator[list[Read]]:
    """While this holds, files that are opened for reading are noted."""
    _install()
    found: list[Read] = []
    before = set(sys.modules)
    _listening.append(found)
    try:
        yield found
    finally:
        new = (sys.modules[name] for name in sys.modules.keys() - before if not name.startswith(MARK))
        found.extend(Read(Path(file), True, True) for one in new if (file := getattr(one, "__file__", None)))
        _listening[:] = [one for one in _listening if one is not found]


def announce(reads: Sequence[Read]) -> None:
    """What was read for something that is used again counts as read once more."""
    for found in _listening:
        found.extend(reads)


def sorted_out(found: Sequence[Read], code: OwnCode) -> Reads:
    """What was read, without modules and what is not people's own."""
    beside: dict[str, Path] = {}
    elsewhere: dict[str, None] = {}
    relative: dict[str, None] = {}
    dynamic: dict[str, None] = {}
    sources = {file.source for file in code.files.values()}
    for path, is_absolute, is_module in dict.fromkeys(found):
        if is_module:
            if is_own_file(path):
                dynamic[str(path)] = None
            continue
        if path in sources or path.suffix in (".py", ".pyc") or "__pycache__" in path.parts or not path.is_file():
            continue
        name = code.name_of(path)
        if name is not None and not is_installed(path) and not _is_hidden(PurePath(name)):
            beside[name] = path
            if not is_absolute:
                relative[name] = None
        elif is_own_file(path) and not _is_hidden(path):
            elsewhere[str(path)] = None
    return Reads(beside, tuple(elsewhere), tuple(relative), tuple(dynamic))


def is_installed(path: Path) -> bool:
    """Whether a file beside the code belongs to an installed package: an environment may lie in the same folder."""
    return bool({"site-packages", "dist-packages"} & set(path.parts))


def _is_hidden(path: PurePath) -> bool:
    """Settings and caches of libraries."""
    return any(part.startswith(".") for part in path.parts)


def _hear(event: str, arguments: tuple) -> None:
    if event != "open" or not _listening:
        return
    path, _, flags = arguments
    if isinstance(path, int) or path is None or flags & (os.O_WRONLY | os.O_RDWR):
        return
    text = os.fsdecode(path)
    entry = Read(Path(os.path.abspath(text)), os.path.isabs(text))
    for found in _listening:
        found.append(entry)


@cache
def _install() -> None:
    sys.addaudithook(_hear)
