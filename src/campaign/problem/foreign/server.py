"""The worker's side of a model server: one child process, kept warm, ended when it takes too long, started again."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import re
import select
import signal
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path

import numpy as np

from campaign.errors import InvalidValue
from campaign.problem.foreign import child
from campaign.problem.foreign.child import DEFINE, EVALUATE, FAILED, FORGET, HEAD, READY, REPLY, SHAPES
from campaign.problem.foreign.environment import model_environment
from campaign.problem.foreign.evaluator import ERROR, TAIL, TIMEOUT, Answers, Failure, Outputs
from campaign.problem.foreign.source import IN_CHILD, Source

START_S = 120.0  # for a start, and for importing and building a problem
_DUMP_S = 0.5  # that a hanging model has to say where it is
_FRAME = re.compile(r'File "([^"]+)", line (\d+)(?: in (\S+))?')


class PythonEvaluator:
    """A function that a model server runs.

    Attributes:
        source: where the server finds it.
        timeout_s: of one evaluation; of a batched function, of one call.
        batched: whether the function takes many rows at once.
    """

    def __init__(self, source: Source, timeout_s: float, *, batched: bool) -> None:
        self.source = source
        self.timeout_s = timeout_s
        self.batched = batched

    def evaluate(self, theta: np.ndarray) -> Answers:
        found = server().evaluate(self, theta)
        if self.batched and found.failure is not None and len(theta) > 1:
            return self._one_by_one(theta)  # which row is it?
        return found

    def _one_by_one(self, theta: np.ndarray) -> Answers:
        done: list[np.ndarray] = []
        for row in theta:
            found = server().evaluate(self, row[None])
            if found.failure is not None:
                return Answers.of(done, found.failure)
            done.append(found.values[0])
        return Answers.of(done)

    def jacobian(self, theta: np.ndarray) -> Answers | None:
        return None

    def start(self) -> None:
        """Start the server now; it gets ready while this process compiles."""
        server().start()

    def shapes(self, theta: np.ndarray) -> tuple[Outputs, bool]:
        """What the function gives at one theta, and whether it names it.

        Raises:
            InvalidValue: it fails there.
        """
        found = server().shapes(self, theta)
        if isinstance(found, Failure):
            raise InvalidValue(
                f"the model fails at the initial parameters: {found.message}",
                hint="it is asked there once for the shapes of what it gives; say them: `outputs={'model': n}`",
            )
        return Outputs.of({name: tuple(shape) for name, shape in found["shapes"].items()}), found["names"]


class _Died(Exception):
    """The child closed its end."""


class ModelServer:
    """One child process and the pipes to it. All calls hold one lock: a worker evaluates one thing at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen | None = None
        self._handles: weakref.WeakKeyDictionary[PythonEvaluator, int] = weakref.WeakKeyDictionary()
        self._gone: list[int] = []
        self._next = 0
        self._is_ready = False
        self._buffer = bytearray()
        self._tails = {"stdout": bytearray(), "stderr": bytearray()}

    def evaluate(self, evaluator: PythonEvaluator, theta: np.ndarray) -> Answers:
        """Values of the rows up to the first failure."""
        n, d = theta.shape
        rows: list[np.ndarray] = []
        with self._lock:
            try:
                handle = self._known(evaluator)
                if isinstance(handle, Failure):
                    return Answers.of([], handle)
                self._begin()
                self._send(HEAD.pack(EVALUATE, handle, evaluator.timeout_s, n, d) + theta.tobytes())
                while len(rows) < n:
                    letter, data = self._reply(evaluator.timeout_s)
                    if letter == FAILED:
                        return Answers.of(rows, self._failure(data))
                    values = np.frombuffer(data)
                    if evaluator.batched:
                        return Answers(values.reshape(n, -1))
                    if rows and len(values) != len(rows[0]):
                        text = f"the model gave {len(values)} values, and {len(rows[0])} before"
                        self._stop()
                        return Answers.of(rows, Failure(outcome=ERROR, message=text))
                    rows.append(values)
                return Answers.of(rows)
            except TimeoutError:
                return Answers.of(rows, self._hung(evaluator.timeout_s))
            except (_Died, BrokenPipeError):
                return Answers.of(rows, self._dead())

    def shapes(self, evaluator: PythonEvaluator, theta: np.ndarray) -> dict | Failure:
        """Names and shapes at one theta."""
        with self._lock:
            try:
                handle = self._known(evaluator)
                if isinstance(handle, Failure):
                    return handle
                self._begin()
                self._send(HEAD.pack(SHAPES, handle, evaluator.timeout_s, 1, len(theta)) + theta.tobytes())
                letter, data = self._reply(evaluator.timeout_s)
                return self._failure(data) if letter == FAILED else json.loads(data)
            except TimeoutError:
                return self._hung(evaluator.timeout_s)
            except (_Died, BrokenPipeError):
                return self._dead()

    def start(self) -> None:
        with self._lock:
            self._ensure()

    def close(self) -> None:
        """End the child and everything that it started."""
        with self._lock:
            self._stop()

    def _known(self, evaluator: PythonEvaluator) -> int | Failure:
        """The child's number for a function, which it is told first if it has not been."""
        self._ensure()
        if evaluator in self._handles:
            return self._handles[evaluator]
        if not self._is_ready:
            self._reply(START_S)
            self._is_ready = True
        while self._gone:
            self._send(HEAD.pack(FORGET, self._gone.pop(), 0.0, 0, 0))
        self._next += 1
        handle = self._next
        document = json.dumps(evaluator.source.document()).encode()
        self._begin()
        self._send(HEAD.pack(DEFINE, handle, START_S, len(document), 0) + document)
        letter, data = self._reply(START_S)
        if letter != READY:
            return self._failure(data)
        self._handles[evaluator] = handle
        weakref.finalize(evaluator, self._gone.append, handle)
        return handle

    def _ensure(self) -> None:
        """A child that runs."""
        if self._process is not None:
            return
        ask_r, ask_w = os.pipe()
        tell_r, tell_w = os.pipe()
        life_r, life_w = os.pipe()
        paths = [path for path in sys.path if path]
        own = {IN_CHILD: "1", "PYTHONPATH": os.pathsep.join(paths), "JAX_PLATFORMS": "cpu"}
        command = [sys.executable, "-m", child.__name__, str(ask_r), str(tell_w), str(life_r)]
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
        self._buffer.clear()
        self._handles.clear()
        self._gone.clear()
        self._is_ready = False

    def _begin(self) -> None:
        for tail in self._tails.values():
            if tail:
                tail.clear()

    def _send(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._ask, view) :]

    def _reply(self, timeout_s: float) -> tuple[bytes, bytes]:
        """The next reply.

        Raises:
            TimeoutError: there is none in time.
            _Died: there will be none.
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
                    raise _Died
                self._buffer += more

    def _keep(self, descriptor: int) -> bool:
        """Keep the end of what the child prints. False when there is nothing to read now."""
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
        return True

    def _printed(self) -> dict[str, str]:
        """The ends of stdout and stderr, as far as they have come."""
        for descriptor in list(self._streams):
            for _ in range(64):  # a model that prints without end is not read to its end
                if not self._keep(descriptor):
                    break
        return {name: tail.decode(errors="replace") for name, tail in self._tails.items() if tail}

    def _failure(self, data: bytes) -> Failure:
        found = json.loads(data)
        details = {"traceback": found["traceback"]} | self._printed()
        return Failure(outcome=ERROR, message=found["message"], details=details)

    def _hung(self, timeout_s: float) -> Failure:
        """Ask the child where it is, and end it."""
        os.kill(self._process.pid, signal.SIGUSR1)
        until = time.monotonic() + _DUMP_S
        while time.monotonic() < until:
            time.sleep(0.02)
            if "most recent call first" in self._printed().get("stderr", ""):
                break
        time.sleep(0.02)
        printed = self._printed()
        self._stop()
        message = f"the model took longer than timeout_s = {timeout_s:g} s{_dumped(printed)}"
        return Failure(outcome=TIMEOUT, message=message, details=printed)

    def _dead(self) -> Failure:
        """What is known of a child that ended by itself."""
        process = self._process
        try:
            status = process.wait(5)
        except subprocess.TimeoutExpired:
            status = None
        printed = self._printed()
        self._stop()
        how = "closed its pipes" if status is None else ended(status)
        details = printed | {"exit_status": str(status)}
        return Failure(outcome=ERROR, message=f"the model's process {how}{_dumped(printed)}", details=details)

    def _stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
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


def _dumped(printed: dict[str, str]) -> str:
    """File and line from the traceback that the interpreter writes when it is hit by a signal."""
    text = printed.get("stderr", "").rpartition("most recent call first")[2]
    frames = [(file, int(line), name or "?") for file, line, name in _FRAME.findall(text)]
    own = Path(child.__file__).name
    return child._place([frame for frame in frames if Path(frame[0]).name != own])


_servers: dict[int, ModelServer] = {}


def server() -> ModelServer:
    """This process's model server; a forked child gets one of its own."""
    pid = os.getpid()
    if pid not in _servers:
        _servers.clear()
        _servers[pid] = ModelServer()
        atexit.register(_close, pid)
    return _servers[pid]


def _close(pid: int) -> None:
    if os.getpid() == pid and pid in _servers:
        _servers.pop(pid).close()
