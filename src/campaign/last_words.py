"""What a process was doing when people's code ended it, or kept it for ever: words in a file that outlive it.

Before such code is called a line of JSON says what is called; when it comes back the line is taken out again. Whatever
ends the process in between leaves the line and the stacks of its threads after it: `faulthandler` writes them at a
fatal signal and when a time is up (it needs no interpreter), `os._exit` of people's own before it leaves. A process
that is killed, or that C code ends, leaves the line alone: whoever waits for it may add how it ended (`note_end`).
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NoReturn

from campaign.own_code import is_own, places
from campaign.store.checksum import fault_of, sealed_line
from campaign.store.records import dumps

_FATAL, _ENDED, _LATE = "Fatal Python error: ", "Ended: ", "Timeout ("


@dataclass(frozen=True, slots=True)
class Ending:
    """A call that did not come back.

    Attributes:
        entry: what was said before it.
        how: what ended the process: ``segmentation fault``, ``exit code 3``; "" where its time was up.
        where: the innermost line of Python that is people's own, or "".
    """

    entry: Mapping[str, Any]
    how: str
    where: str


class Words:
    """The file of one process or block, open for appending."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    @contextlib.contextmanager
    def over(self, entry: Mapping[str, Any], seconds: float | None = None) -> Iterator[None]:
        """While this holds, what ends the process leaves the entry and the stacks.

        Args:
            entry: what is called.
            seconds: after which the process ends; None: it may take as long as it likes. The time of an outer entry
                ends where an inner one begins.
        """
        size = os.fstat(self._file.fileno()).st_size
        self.say(entry)
        with _fatal_into(self._file):
            if seconds is not None:
                faulthandler.dump_traceback_later(seconds, exit=True, file=self._file)
            try:
                yield
            finally:
                faulthandler.cancel_dump_traceback_later()
                self._file.truncate(size)
                self._file.seek(size)

    def say(self, entry: Mapping[str, Any]) -> None:
        """Write an entry that stays."""
        self._file.write(sealed_line(dumps(entry)) + b"\n")

    def close(self) -> None:
        self._file.close()


def rest() -> None:
    """No time runs any more: what follows is not the doing of people's code."""
    faulthandler.cancel_dump_traceback_later()


_listening: list[IO[bytes]] = []
_leave = os._exit


@contextlib.contextmanager
def _fatal_into(file: IO[bytes]) -> Iterator[None]:
    """Fatal signals, and `os._exit` of people's code in this process, write their stacks into a file."""
    was_on, process = faulthandler.is_enabled(), os.getpid()

    def leave(code: int) -> NoReturn:
        if os.getpid() == process and is_own(sys._getframe(1).f_code.co_filename):
            with contextlib.suppress(OSError, ValueError):
                file.write(f"{_ENDED}exit code {code}\n".encode())
                faulthandler.dump_traceback(file, all_threads=False)
        _leave(code)

    before = os._exit
    _listening.append(file)
    faulthandler.enable(file)
    os._exit = leave
    try:
        yield
    finally:
        os._exit = before
        _listening.pop()
        if _listening:
            faulthandler.enable(_listening[-1])
        else:
            faulthandler.disable()
            if was_on:
                with contextlib.suppress(OSError, ValueError, AttributeError, RuntimeError):
                    faulthandler.enable(sys.__stderr__ or 2)


def endings(text: str) -> Iterator[Ending]:
    """The calls of a file that ended their process; what is not whole tells nothing."""
    for entry, after in _parts(text):
        frames = [line for line in after if line.startswith("  File ")]
        how = next((_how(line) for line in after if line.startswith((_FATAL, _ENDED, _LATE))), None)
        if how is not None:
            own = next(places("\n".join(frames)), None)
            yield Ending(entry, how, f" at {own}" if own else "")


def unfinished(text: str) -> list[Mapping[str, Any]]:
    """The entries of a file, from the outer to the inner one: those of a process at work, or of one that has ended."""
    return [entry for entry, _ in _parts(text)]


def spoken_at(path: Path) -> float | None:
    """When a file was last written to [s since 1970]; None where it is gone: a block that ends takes it along."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return None


def note_end(path: Path, how: str) -> bool:
    """Add how its process ended to a file whose last entry stands alone. False where none does."""
    try:
        text = path.read_text(errors="replace")
    except OSError:
        return False
    parts = list(_parts(text))
    if not parts or any(line.startswith((_FATAL, _ENDED, _LATE)) for line in parts[-1][1]):
        return False
    with path.open("a") as file:
        file.write(f"{_ENDED}{how}\n")
    return True


def _how(line: str) -> str:
    if line.startswith(_LATE):
        return ""
    text = line.removeprefix(_FATAL).removeprefix(_ENDED).strip()
    return text if line.startswith(_ENDED) else text[:1].lower() + text[1:]


def _parts(text: str) -> Iterator[tuple[Mapping[str, Any], list[str]]]:
    """Each entry with the lines that follow it."""
    entry, after = None, []
    for line in [*text.splitlines(), "{}"]:
        if line.startswith("{"):
            if entry is not None:
                yield entry, after
            entry, after = None, []
            with contextlib.suppress(ValueError):  # cut short: the process was killed while it wrote
                found = json.loads(line)
                entry = found if found and fault_of(found) is None else None
        else:
            after.append(line)
