"""Where code of the user's stands in a stack: what is neither Python's, nor an installed package's, nor ours."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from campaign.errors import CampaignError
from campaign.whose import is_installed, is_own_file

_FRAME = re.compile(r'^ *File "(?P<file>[^"]+)", line (?P<line>\d+),? in (?P<name>.+)$', re.MULTILINE)
_CALLBACK = "Traceback (most recent call last):"  # JAX puts what a callback raised into the text of its own error
LINES = 40  # of a stack that is kept


class Place(NamedTuple):
    """A line of Python: ``own.py:12`` in a function."""

    file: str
    line: int
    name: str

    def __str__(self) -> str:
        return f"{Path(self.file).name}:{self.line} in `{self.name}`"


class Told(NamedTuple):
    """An exception for people.

    Attributes:
        message: class, what it says, and the user's line that raised it, in one line.
        stack: of the user's code, with the exception; at most `LINES` lines.
    """

    message: str
    stack: str


def is_own(file: str) -> bool:
    """Whether a file of a stack is the user's, a plug-in's among them; not what is made in memory, as `<string>`."""
    return not file.startswith("<") and not is_installed(file)


def places(stack: str) -> Iterator[Place]:
    """The user's lines in the text of a stack, in its order."""
    for found in _FRAME.finditer(stack):
        if is_own(found["file"]):
            yield Place(found["file"], int(found["line"]), found["name"])


def told(error: BaseException) -> Told:
    """What a user's exception says, those included that JAX passes on from a callback."""
    _, is_passed_on, stack = str(error).partition(_CALLBACK)
    if is_passed_on:
        stack = stack.strip("\n")
        lines = stack.splitlines()
        last = max((i for i, line in enumerate(lines) if line.startswith("  ")), default=-1)
        text = (lines[last + 1 :] or ["no message"])[0].strip()
        if own := list(places(stack)):
            return Told(f"{text} ({own[-1]})"[:500], _shown(own, text))
        return Told(text[:500], "\n".join(stack.splitlines()[-LINES:]))
    lines = str(error).strip().splitlines()
    text = lines[0] if lines else "no message"
    own = stack_of(error)
    if isinstance(error, CampaignError):  # written for people: neither its class nor a plug-in's line tells them more
        own = [place for place in own if is_own_file(place.file)]
    else:
        text = f"{type(error).__name__}: {text}"
    if not own:
        return Told(text[:500], "")
    return Told(f"{text} ({own[-1]})"[:500], _shown(own, *traceback.format_exception_only(error)))


def stack_of(error: BaseException) -> list[Place]:
    """The user's lines that an exception passed, the innermost last."""
    frames = traceback.extract_tb(error.__traceback__)
    return [Place(frame.filename, frame.lineno or 0, frame.name) for frame in frames if is_own(frame.filename)]


def _shown(own: list[Place], *text: str) -> str:
    return "\n".join([*(f"  {place.file}:{place.line} in {place.name}" for place in own[-LINES:]), *text]).rstrip()
