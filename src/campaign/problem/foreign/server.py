"""The worker's side of a model server: one child process, kept warm, ended when it takes too long, started again."""

from __future__ import annotations

import atexit
import json
import os
import threading
import weakref

import numpy as np

from campaign.errors import InvalidValue
from campaign.problem.foreign.child import DEFINE, EVALUATE, FAILED, FORGET, HEAD, READY, SHAPES
from campaign.problem.foreign.evaluator import ERROR, TIMEOUT, Answers, Failure, Outputs
from campaign.problem.foreign.process import Died, ModelProcess, ended, place_in
from campaign.problem.foreign.source import Source

START_S = 120.0  # for a start, and for importing and building a problem


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


class ModelServer:
    """One child process that evaluates functions. All calls hold one lock: a worker evaluates one thing at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._child: ModelProcess | None = None
        self._handles: weakref.WeakKeyDictionary[PythonEvaluator, int] = weakref.WeakKeyDictionary()
        self._gone: list[int] = []
        self._next = 0
        self._is_ready = False

    def evaluate(self, evaluator: PythonEvaluator, theta: np.ndarray) -> Answers:
        """Values of the rows up to the first failure."""
        n, d = theta.shape
        rows: list[np.ndarray] = []
        with self._lock:
            try:
                child = self._running()
                handle = self._known(child, evaluator)
                if isinstance(handle, Failure):
                    return Answers.of([], handle)
                child.forget_printed()
                child.send(HEAD.pack(EVALUATE, handle, evaluator.timeout_s, n, d) + theta.tobytes())
                while len(rows) < n:
                    letter, data = child.reply(evaluator.timeout_s)
                    if letter == FAILED:
                        return Answers.of(rows, _failure(child, data))
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
            except (Died, BrokenPipeError):
                return Answers.of(rows, self._dead())

    def shapes(self, evaluator: PythonEvaluator, theta: np.ndarray) -> dict | Failure:
        """Names and shapes at one theta."""
        with self._lock:
            try:
                child = self._running()
                handle = self._known(child, evaluator)
                if isinstance(handle, Failure):
                    return handle
                child.forget_printed()
                child.send(HEAD.pack(SHAPES, handle, evaluator.timeout_s, 1, len(theta)) + theta.tobytes())
                letter, data = child.reply(evaluator.timeout_s)
                return _failure(child, data) if letter == FAILED else json.loads(data)
            except TimeoutError:
                return self._hung(evaluator.timeout_s)
            except (Died, BrokenPipeError):
                return self._dead()

    def start(self) -> None:
        with self._lock:
            self._running()

    def close(self) -> None:
        """End the child and everything that it started."""
        with self._lock:
            self._stop()

    def _known(self, child: ModelProcess, evaluator: PythonEvaluator) -> int | Failure:
        """The child's number for a function, which it is told first if it has not been."""
        if evaluator in self._handles:
            return self._handles[evaluator]
        if not self._is_ready:
            child.reply(START_S)
            self._is_ready = True
        while self._gone:
            child.send(HEAD.pack(FORGET, self._gone.pop(), 0.0, 0, 0))
        self._next += 1
        handle = self._next
        document = json.dumps(evaluator.source.document()).encode()
        child.forget_printed()
        child.send(HEAD.pack(DEFINE, handle, START_S, len(document), 0) + document)
        letter, data = child.reply(START_S)
        if letter != READY:
            return _failure(child, data)
        self._handles[evaluator] = handle
        weakref.finalize(evaluator, self._gone.append, handle)
        return handle

    def _running(self) -> ModelProcess:
        """A child that runs."""
        if self._child is None:
            self._child = ModelProcess()
            self._handles.clear()
            self._gone.clear()
            self._is_ready = False
        return self._child

    def _hung(self, timeout_s: float) -> Failure:
        """What is known of a model that takes too long; its child is ended."""
        child, self._child = self._running(), None
        printed = child.where_it_hangs()
        message = f"the model took longer than timeout_s = {timeout_s:g} s{place_in(printed)}"
        return Failure(outcome=TIMEOUT, message=message, details=printed)

    def _dead(self) -> Failure:
        """What is known of a child that ended by itself."""
        child = self._running()
        status, printed = child.status(), child.printed()
        self._stop()
        how = "closed its pipes" if status is None else ended(status)
        details = printed | {"exit_status": str(status)}
        return Failure(outcome=ERROR, message=f"the model's process {how}{place_in(printed)}", details=details)

    def _stop(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.stop()


def _failure(child: ModelProcess, data: bytes) -> Failure:
    """What the child says of an evaluation that raised."""
    found = json.loads(data)
    details = {"traceback": found["traceback"]} | child.printed()
    return Failure(outcome=ERROR, message=found["message"], details=details)


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
