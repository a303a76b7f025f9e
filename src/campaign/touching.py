"""People's own code, called by a command that a parent process waits for: the parent is told what is called.

The parent (`cli.parent`) gives the command a file for its last words. Where there is no parent nothing is noted.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Iterator
from typing import Any, TextIO

from campaign.last_words import Words

WORDS = "CAMPAIGN_WORDS"  # environment: descriptor of the parent's file, in the child alone
LIMIT_S = 300.0  # that importing, building or tracing a problem may take where there is no `timeout_s`
GRACE_S = 5.0  # beyond a limit that is looked at in Python, which C code does not notice
MOST = 1_000_000  # characters that such code prints
_state: dict[str, Words] = {}


def listen() -> bool:
    """Take the file that the parent gave, once, and end when the parent ends. False where there is no parent."""
    number = os.environ.pop(WORDS, None)
    if number is None:
        return False
    os.set_inheritable(int(number), False)
    _state["words"] = Words(os.fdopen(int(number), "ab", buffering=0))
    with contextlib.suppress(OSError, AttributeError):  # a system that is not Linux: the child ends by itself
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    return True


def has_parent() -> bool:
    """Whether a parent process waits for this one."""
    return "words" in _state


def last_words() -> Words | None:
    """The parent's file."""
    return _state.get("words")


def say_done(code: int) -> None:
    """The command ends by itself, with this exit code."""
    if has_parent():
        _state["words"].say({"done": code})


@contextlib.contextmanager
def touching(phase: str, what: str, seconds: float | None = None) -> Iterator[None]:
    """While this holds, people's code runs: what it does to the process is noted, and what it prints is limited.

    Args:
        phase: "imported", "built" or "traced".
        what: the problem.
        seconds: after which the process is ended; `LIMIT_S` when None.
    """
    if not has_parent():
        yield
        return
    limit = LIMIT_S if seconds is None else seconds
    out, err = sys.stdout, sys.stderr
    with _state["words"].over({"phase": phase, "what": what, "limit_s": limit}, limit + GRACE_S):
        sys.stdout, sys.stderr = Limited(out), Limited(err)  # pyright: ignore[reportAttributeAccessIssue]
        try:
            yield
        finally:
            sys.stdout, sys.stderr = out, err


@contextlib.contextmanager
def driving(directory: str, executor: str) -> Iterator[None]:
    """While this holds, this process drives a campaign."""
    if not has_parent():
        yield
        return
    with _state["words"].over({"directory": directory, "executor": executor}):
        yield


class Limited:
    """A text stream that takes no more than `MOST` characters."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._left = stream, MOST

    def write(self, text: str) -> int:
        if self._left > 0:
            self._stream.write(text[: self._left])
            self._left -= len(text)
            if self._left <= 0:
                self._stream.write(f"\n… more than {MOST:,} characters are not shown\n")
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
