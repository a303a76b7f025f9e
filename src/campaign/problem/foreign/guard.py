"""Programs end with the worker that started them, also when it is killed outright.

With its first program a worker starts this file as a small process of its own, which hears through a pipe which process
groups are at work. The end of the pipe is the end of the worker, however it came: what is at work then is killed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterable, Iterator

_NOT_OURS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


class Guard:
    """The worker's side; a process that was forked from a worker starts one of its own."""

    def __init__(self) -> None:
        self._owner = 0
        self._pipe = -1

    def ready(self) -> None:
        """Start it, before the first program: then no time is lost between a program's start and `watching`."""
        if self._owner == os.getpid():
            return
        if self._owner:  # the pipe of the process that this one was forked from: only its own end may keep it open
            os.close(self._pipe)
        ours, self._pipe = os.pipe()
        try:
            command = [sys.executable, "-I", "-S", __file__]
            files = [(os.POSIX_SPAWN_DUP2, ours, 0)]
            files += [(os.POSIX_SPAWN_OPEN, k, os.devnull, os.O_WRONLY, 0) for k in (1, 2)]
            os.posix_spawn(sys.executable, command, os.environ, file_actions=files, setpgroup=0)
        finally:
            os.close(ours)
        self._owner = os.getpid()

    @contextlib.contextmanager
    def watching(self, group: int) -> Iterator[None]:
        """A process group is at work."""
        self._tell(b"+%d\n" % group)
        try:
            yield
        finally:
            self._tell(b"-%d\n" % group)

    def _tell(self, line: bytes) -> None:
        self.ready()
        with contextlib.suppress(BrokenPipeError):  # somebody has killed it
            os.write(self._pipe, line)


def watch(lines: Iterable[str]) -> None:
    """Kill the groups that are at work when the lines end."""
    groups = set[int]()
    for line in lines:
        change = groups.add if line[0] == "+" else groups.discard
        change(int(line[1:]))
    for group in groups:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    for number in _NOT_OURS:
        signal.signal(number, signal.SIG_IGN)
    watch(sys.stdin)
