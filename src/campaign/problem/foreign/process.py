"""The process of a model server: its pipes, what it prints, and how it ends."""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

from campaign.interpreter import running
from campaign.problem.foreign import child
from campaign.problem.foreign.child import REPLY
from campaign.problem.foreign.environment import model_environment
from campaign.problem.foreign.evaluator import TAIL
from campaign.problem.foreign.source import IN_CHILD

_DUMP_S = 0.5  # that a hanging model has to say where it is
_FRAME = re.compile(r'File "([^"]+)", line (\d+)(?: in (\S+))?')


class Died(Exception):
    """The child closed its end."""


class ModelProcess:
    """A child process, started at once, and the pipes to it."""

    def __init__(self) -> None:
        ask_r, ask_w = os.pipe()
        tell_r, tell_w = os.pipe()
        life_r, life_w = os.pipe()
        paths = [path for path in sys.path if path]
        own = {IN_CHILD: "1", "PYTHONPATH": os.pathsep.join(paths), "JAX_PLATFORMS": "cpu"}
        command = [*running(child.__name__), str(ask_r), str(tell_w), str(life_r)]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=(ask_r, tell_w, life_r),
            start_new_session=True,
            env=model_environment(own),
        )
        for descriptor in (ask_r, tell_w, life_r):
            os.close(descriptor)
        self._ask, self._tell, self._life = ask_w, tell_r, life_w
        self._streams = {self._process.stdout.fileno(): "stdout", self._process.stderr.fileno(): "stderr"}
        self._poll = select.poll()
        for descriptor in (self._tell, *self._streams):
            os.set_blocking(descriptor, False)
            self._poll.register(descriptor, select.POLLIN)
        self._buffer = bytearray()
        self._tails = {"stdout": bytearray(), "stderr": bytearray()}

    def forget_printed(self) -> None:
        """What has been printed so far belongs to an earlier call."""
        for tail in self._tails.values():
            if tail:
                tail.clear()

    def send(self, data: bytes) -> None:
        """Write all of it.

        Raises:
            BrokenPipeError: the child has ended.
        """
        view = memoryview(data)
        while view:
            view = view[os.write(self._ask, view) :]

    def reply(self, timeout_s: float) -> tuple[bytes, bytes]:
        """The next reply.

        Raises:
            TimeoutError: there is none in time.
            Died: there will be none.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            if len(self._buffer) >= REPLY.size:
                letter, length = REPLY.unpack_from(self._buffer)
                end = REPLY.size + length
                if len(self._buffer) >= end:
                    data = bytes(self._buffer[REPLY.size : end])
                    del self._buffer[:end]
                    return letter, data
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            for descriptor, _ in self._poll.poll(min(left, 3600.0) * 1000 + 1):
                if descriptor != self._tell:
                    self._keep(descriptor)
                    continue
                more = os.read(self._tell, 1 << 20)
                if not more:
                    raise Died
                self._buffer += more

    def _keep(self, descriptor: int) -> bool:
        """Pass on what the child prints, and keep its end. False when there is nothing to read now."""
        try:
            data = os.read(descriptor, 1 << 16)
        except BlockingIOError:
            return False
        if not data:
            self._poll.unregister(descriptor)
            self._streams.pop(descriptor)
            return False
        tail = self._tails[self._streams[descriptor]]
        tail += data
        del tail[:-TAIL]
        with contextlib.suppress(OSError, ValueError):  # nobody may listen any more
            sys.stdout.write(data.decode(errors="replace"))
        return True

    def printed(self) -> dict[str, str]:
        """The ends of stdout and stderr, as far as they have come."""
        for descriptor in list(self._streams):
            for _ in range(64):  # a model that prints without end is not read to its end
                if not self._keep(descriptor):
                    break
        return {name: tail.decode(errors="replace") for name, tail in self._tails.items() if tail}

    def where_it_hangs(self) -> dict[str, str]:
        """Ask the child where it is, and end it. What it has printed by then."""
        os.kill(self._process.pid, signal.SIGUSR1)
        until = time.monotonic() + _DUMP_S
        while time.monotonic() < until:
            time.sleep(0.02)
            if "most recent call first" in self.printed().get("stderr", ""):
                break
        time.sleep(0.02)
        printed = self.printed()
        self.stop()
        return printed

    def status(self) -> int | None:
        """Exit status of a child that has closed its end; None where it lives on."""
        try:
            return self._process.wait(5)
        except subprocess.TimeoutExpired:
            return None

    def stop(self) -> None:
        """End the child and everything that it started."""
        process = self._process
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for descriptor in (self._ask, self._tell, self._life):
            os.close(descriptor)
        process.stdout.close()
        process.stderr.close()


def ended(status: int) -> str:
    """How a process ended, as a person says it."""
    if status >= 0:
        return f"ended with exit status {status}"
    try:
        return f"was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"was ended by signal {-status}"


def place_in(printed: dict[str, str]) -> str:
    """File and line from the traceback that the interpreter writes when it is hit by a signal."""
    text = printed.get("stderr", "").rpartition("most recent call first")[2]
    frames = [(file, int(line), name or "?") for file, line, name in _FRAME.findall(text)]
    own = Path(child.__file__).name
    return child._place([frame for frame in frames if Path(frame[0]).name != own])
