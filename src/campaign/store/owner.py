"""Who is writing: a process named so that no other, now or after a reboot, carries the same name."""

from __future__ import annotations

import os
import re
import socket
import time
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """A process.

    Attributes:
        host: host name.
        pid: process id.
        started: when it first asked who it is [s of the epoch].
        boot: id of the host's boot and of the process namespace: a pid means something only inside one of them; ""
            where the system does not tell.
        ticks: the kernel's start time of the process: tells it from a later process with the same pid; 0 where unknown.
    """

    host: str
    pid: int
    started: float
    boot: str = ""
    ticks: int = 0

    @property
    def writer(self) -> str:
        """A name for files that this process alone writes: host-pid-start."""
        host = re.sub(r"[^A-Za-z0-9.]+", "_", self.host)[:64] or "host"
        return f"{host}-{self.pid}-{int(self.started * 1000):x}"

    def is_surely_dead(self) -> bool:
        """True when this machine can tell that the process has ended; False means "alive, or cannot tell"."""
        here = this_process()
        if not self.boot or self.boot != here.boot or self.host != here.host:
            return False
        ticks = _start_ticks(self.pid)
        return ticks is None or (self.ticks != 0 and ticks != self.ticks)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def this_process() -> Owner:
    """The calling process; a forked child is another one."""
    return _describe(os.getpid())


@cache
def _describe(pid: int) -> Owner:
    return Owner(host=socket.gethostname(), pid=pid, started=time.time(), boot=_boot_id(), ticks=_start_ticks(pid) or 0)


def _boot_id() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _start_ticks(pid: int) -> int | None:
    """Field 22 of /proc/<pid>/stat; None when there is no such process (or only its zombie)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat[stat.rindex(")") + 2 :].split()  # the name in parentheses may hold anything
    return None if fields[0] in "ZX" else int(fields[19])


def is_writer_surely_dead(writer: str) -> bool:
    """Whether the process behind a writer's name has ended on this machine; False means "alive, or cannot tell"."""
    host, _, pid = writer.rpartition("-")[0].rpartition("-")
    return pid.isdigit() and is_process_surely_dead(host, int(pid))


def is_process_surely_dead(host: str, pid: int) -> bool:
    """Whether a process of that host (as written in file names) has ended; False where this machine cannot tell."""
    here = this_process()
    is_here = host in (here.host, here.writer.rsplit("-", 2)[0])
    return bool(here.boot) and is_here and _start_ticks(pid) is None
