"""What people's code prints while a block is computed: it goes where it would have gone, and into the block's log."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MOST = 1_000_000  # characters of a block's log


def full() -> str:
    """What is said in the place of further output."""
    return f"\n… more than {MOST:,} characters are not kept\n"


class _Log:
    """A file that begins to exist with the first text."""

    def __init__(self, path: Path) -> None:
        self._path, self._file, self._left = path, None, MOST
        self._lock = threading.Lock()

    @property
    def is_full(self) -> bool:
        return self._left <= 0

    def write(self, text: str) -> None:
        with self._lock:
            if self._left <= 0 or not text:
                return
            if self._file is None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._file = self._path.open("w", encoding="utf-8", errors="backslashreplace")
            self._file.write(text[: self._left])
            self._left -= len(text)
            if self._left <= 0:
                self._file.write(full())
            self._file.flush()  # the process may die of what comes next

    def close(self) -> None:
        with self._lock:
            self._left = 0
            if self._file is not None:
                self._file.close()


class _Tee:
    """A text stream whose text is kept as well."""

    def __init__(self, stream: Any, log: _Log, only: int | None) -> None:
        self._stream, self._log, self._only = stream, log, only

    def write(self, text: str) -> int:
        if self._only is None or threading.get_ident() == self._only:
            if self._log.is_full:  # code that prints for ever fills no disk
                return len(text)
            with contextlib.suppress(OSError):  # a full disk does not end a run
                self._log.write(text)
            if self._log.is_full:
                self._stream.write(text + full())
                return len(text)
        return self._stream.write(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def output_kept(path: Path) -> Iterator[None]:
    """While this holds, what is printed goes into `path` as well: standard output, and this thread's standard error.

    Of a block that prints more than `MOST` characters the rest goes nowhere, and both places say so.

    Other threads write to standard error what is not the model's: progress, notes of the executor.
    """
    log = _Log(path)
    before = sys.stdout, sys.stderr
    sys.stdout = _Tee(sys.stdout, log, None)
    sys.stderr = _Tee(sys.stderr, log, threading.get_ident())
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
        log.close()
