"""A process that imports everything once and then forks the Dask workers of one machine.

Importing JAX, Dask and Arrow takes longer than most first blocks; forked workers share one import, and its memory. The
nursery itself computes nothing: no device is started and no thread runs when it forks. It reads one line of JSON from
its standard input (`Hello`), forks a worker for each environment, forks a worker again that died, and ends all of them
when its input closes: a driver that was killed leaves nobody behind. What happens goes to its standard output, one JSON
object a line: ``{"event": "died", "worker": 0, "signal": 9, …}``.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import select
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

PRELOAD = (
    "distributed", "jax", "equinox", "scipy.special", "scipy.linalg", "pyarrow.parquet", "pandas", "zarr", "numcodecs",
    "campaign.execute.remote", "campaign.work.run_block", "campaign.work.block", "campaign.work.done",
    "campaign.engines.catalogue",
)  # fmt: skip
GRACE_S = 10.0  # for blocks to reach their next chunk after the driver has gone
LEAVE = (signal.SIGTERM, signal.SIGUSR1)  # what tells a worker to leave
MAX_STILLBORN = 3  # deaths in a row before a worker was connected, after which it is given up


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """What the driver tells the nursery.

    Attributes:
        scheduler: address.
        security: keyword arguments of `distributed.Security`; PEM text, never a file; empty: no TLS.
        environments: one worker each.
        host: address to listen on, or "".
        interface: network interface to listen on, or "".
        folder: for what Dask spills; local.
        log: file for the workers' output; "": where the nursery's goes.
        sys_path: of the driver, so that workers can import what it can.
        name: prefix of worker names.
    """

    scheduler: str
    security: Mapping[str, Any]
    environments: list[dict[str, str]]
    folder: str
    log: str = ""
    host: str = ""
    interface: str = ""
    sys_path: list[str] = field(default_factory=list)
    name: str = "worker"

    def line(self) -> bytes:
        return json.dumps(asdict(self)).encode() + b"\n"


def preload() -> None:
    """Import what workers need. What cannot be imported here will say so where it is used."""
    for module in PRELOAD:
        with contextlib.suppress(ImportError):
            __import__(module)


def main() -> None:
    """Entry of the nursery process."""
    preload()
    _say("ready")
    line = sys.stdin.buffer.readline()
    if line:
        hello = Hello(**json.loads(line))
        sys.path.extend(p for p in hello.sys_path if p not in sys.path)
        Nursery(hello, has_driver=True).run()


@dataclass(slots=True)
class _Child:
    number: int
    is_connected: bool = False
    has_said_goodbye: bool = False
    n_stillborn: int = 0


class Nursery:
    """Forks workers and looks after them."""

    def __init__(self, hello: Hello, *, has_driver: bool) -> None:
        """Args:
        hello: what the workers are to be.
        has_driver: the standard input is held open by a driver; its end is the end of all.
        """
        self.hello = hello
        self.has_driver = has_driver
        self.is_leaving = False
        self.n_given_up = 0
        self.children: dict[int, _Child] = {}
        self._wake_read, self._wake_write = os.pipe()
        self._connected_read, self._connected_write = os.pipe()
        for end in (self._wake_read, self._wake_write, self._connected_read):
            os.set_blocking(end, False)

    def run(self) -> None:
        """Until no worker is left, or the driver is gone."""
        signal.set_wakeup_fd(self._wake_write)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        if not self.has_driver:
            for number in LEAVE:
                signal.signal(number, lambda *_: self._leave())
        for number in range(len(self.hello.environments)):
            self._fork(_Child(number))
        ends = [self._wake_read, self._connected_read, *([sys.stdin] if self.has_driver else [])]
        while self.children:
            ready, _, _ = select.select(ends, [], [])
            if self._connected_read in ready:
                self._note_connected()
            if self._wake_read in ready:
                os.read(self._wake_read, 4096)
                self._reap()
            if sys.stdin in ready and not os.read(0, 4096):
                return self._end()
        return None

    def _leave(self) -> None:
        """Tell the workers to leave; none is forked again."""
        self.is_leaving = True
        for pid in self.children:
            os.kill(pid, signal.SIGTERM)

    def _fork(self, child: _Child) -> None:
        sys.stdout.flush()
        signal.pthread_sigmask(signal.SIG_BLOCK, LEAVE)  # the child would take them for its parent's
        pid = os.fork()
        if pid == 0:
            _become_worker(self.hello, child.number, self._connected_write)  # does not return
        child.is_connected = child.has_said_goodbye = False
        self.children[pid] = child
        if self.is_leaving:  # the word came before the child was known
            os.kill(pid, signal.SIGTERM)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, LEAVE)

    def _note_connected(self) -> None:
        """Take in what workers said: their pid when they were connected, minus their pid when they had closed."""
        with contextlib.suppress(BlockingIOError):
            for said in os.read(self._connected_read, 4096).split():
                if (child := self.children.get(abs(int(said)))) is not None:
                    child.is_connected = True
                    child.has_said_goodbye |= int(said) < 0

    def _reap(self) -> None:
        while self.children:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            self._note_connected()
            child = self.children.pop(pid, None)
            if child is None:
                continue
            child.n_stillborn = 0 if child.is_connected else child.n_stillborn + 1
            code = os.waitstatus_to_exitcode(status)
            if (code == 0 and child.has_said_goodbye) or self.is_leaving:  # else code of a model has called exit(0)
                _say("left", worker=child.number, pid=pid)
            elif child.n_stillborn >= MAX_STILLBORN:
                self.n_given_up += 1
                _say("given_up", worker=child.number, pid=pid, code=code)
            else:
                _say("died", worker=child.number, pid=pid, code=code)
                self._fork(child)

    def _end(self) -> None:
        """Tell all to stop at their next chunk; end them when they do not."""
        deadline = time.monotonic() + GRACE_S
        self._leave()
        while self.children and time.monotonic() < deadline:
            pid, _ = os.waitpid(-1, os.WNOHANG)
            self.children.pop(pid, None)
            time.sleep(0.05)
        for pid in self.children:
            os.kill(pid, signal.SIGKILL)


def _say(event: str, **fields: Any) -> None:
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.write(json.dumps({"event": event, **fields}) + "\n")
        sys.stdout.flush()


def _become_worker(hello: Hello, number: int, connected: int) -> None:
    """The life of a forked child, to its end."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: never outlive the nursery
        os.environ.update(hello.environments[number])
        for leave in LEAVE:
            signal.signal(leave, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, LEAVE)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        log = os.open(hello.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600) if hello.log else 2
        os.dup2(log, 1)
        os.dup2(log, 2)
        asyncio.run(_serve(hello, number, connected))
        code = 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


async def _serve(hello: Hello, number: int, connected: int) -> None:
    from distributed import Security, Worker

    from campaign.execute.dask.leaving import LOOK_S, leave_on_signal
    from campaign.execute.dask.settings import configure
    from campaign.execute.stopping import is_signalled, stop_on_signals

    stop_on_signals()
    configure()
    worker = Worker(
        hello.scheduler,
        nthreads=1,
        name=f"{hello.name}-{number}-{os.getpid()}",
        security=Security(**hello.security) if hello.security else None,
        host=hello.host or None,
        interface=hello.interface or None,
        local_directory=hello.folder,
        memory_limit=0,
        dashboard=False,
        death_timeout=60,
    )
    connecting = asyncio.ensure_future(worker.start())
    while not connecting.done():  # which may take as long as `death_timeout` where the scheduler has gone
        if is_signalled():
            os.write(connected, b"-%d\n" % os.getpid())
            os._exit(0)  # nothing has begun
        await asyncio.wait({connecting}, timeout=LOOK_S)
    await connecting
    os.write(connected, b"%d\n" % os.getpid())
    leaving = asyncio.create_task(leave_on_signal(worker))
    await worker.finished()
    leaving.cancel()
    os.write(connected, b"-%d\n" % os.getpid())


if __name__ == "__main__":
    main()
