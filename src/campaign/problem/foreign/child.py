"""A model server: the process in which a user's Python function runs.

It may raise, print, hang or die there; the worker that started it reads what it says from two pipes and ends it when it
takes too long. Started as ``python -m campaign.problem.foreign.child REQUESTS REPLIES LIFE`` with three descriptors.

Requests: one letter, then numbers and data.
    D handle length + JSON of a source     take a function
    F handle                               forget it
    S handle d + d doubles                 names and shapes of what it gives at one theta
    E handle seconds n d + n·d doubles     evaluate n rows; stops at the first failure
Replies: one letter, a length, data.
    R nothing (ready)   S JSON   V doubles of one row or, from a batched function, of all   X JSON of a failure
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import signal
import struct
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from campaign.problem.foreign.reals import real_array
from campaign.problem.foreign.source import Function, function_of

DEFINE, FORGET, SHAPES, EVALUATE = b"D", b"F", b"S", b"E"
READY, VALUE, FAILED = b"R", b"V", b"X"
HEAD = struct.Struct("<cQdII")  # letter, handle, seconds, n, d (or a length)
REPLY = struct.Struct("<cQ")
_GRACE = 10.0  # s after which the kernel ends an evaluation that its worker did not end: the worker is gone


def main(requests: int, replies: int, life: int) -> None:
    """Serve until the worker closes its end."""
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1, all_threads=False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    threading.Thread(target=_end_with_worker, args=(life,), daemon=True).start()
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # pyright: ignore[reportAttributeAccessIssue]
    functions: dict[int, Function] = {}
    _send(replies, READY)
    while head := _read(requests, HEAD.size):
        letter, handle, seconds, n, d = HEAD.unpack(head)
        if letter == DEFINE:
            document = _read(requests, n).decode()
            _guarded(replies, lambda: _define(functions, handle, document) or _send(replies, READY))  # noqa: B023
        elif letter == FORGET:
            functions.pop(handle, None)
        else:
            theta = np.frombuffer(_read(requests, 8 * n * d)).reshape(n, d)
            if letter == SHAPES:
                with _limited(seconds):
                    _guarded(replies, lambda: _shapes(functions[handle], theta, replies))  # noqa: B023
            else:
                _evaluate(functions[handle], theta, replies, seconds)


def _define(functions: dict[int, Function], handle: int, document: str) -> None:
    functions[handle] = function_of(document)


def _shapes(function: Function, theta: np.ndarray, replies: int) -> None:
    found = _named(_called(function, theta if function.batched else theta[0]))
    drop = 1 if function.batched else 0
    shapes = {name: np.shape(value)[drop:] for name, value in found.items()}
    _send(replies, SHAPES, json.dumps({"names": isinstance(found, dict), "shapes": shapes}).encode())


def _evaluate(function: Function, theta: np.ndarray, replies: int, seconds: float) -> None:
    for part in [theta] if function.batched else theta:
        with _limited(seconds):
            if not _guarded(replies, lambda: _send(replies, VALUE, _flat(function, part))):  # noqa: B023
                return


@contextlib.contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """The kernel ends this process some time after its worker should have; a hanging C function cannot prevent it."""
    signal.setitimer(signal.ITIMER_REAL, seconds + _GRACE)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _flat(function: Function, theta: np.ndarray) -> bytes:
    """Outputs of one row, or with a batched function of all rows, one behind the other."""
    values = [real_array(value, f"`{name}`") for name, value in _named(_called(function, theta)).items()]
    if not function.batched:
        return values[0].tobytes() if len(values) == 1 else np.concatenate([v.reshape(-1) for v in values]).tobytes()
    n = len(theta)
    wrong = [v.shape for v in values if v.shape[:1] != (n,)]
    if wrong:
        raise ValueError(f"a batched model got {n} rows and returned shape {wrong[0]}: its first axis is that of rows")
    return np.concatenate([v.reshape(n, -1) for v in values], axis=1).tobytes()


def _called(function: Function, theta: np.ndarray) -> Any:
    """The user's function at one theta (d,), or at a batch (B, d)."""
    if function.call == "array":
        argument = theta
    else:
        columns = theta.T if function.batched else theta.tolist()
        argument = dict(zip(function.names, columns, strict=True))
    return function.function(argument) if function.x is None else function.function(function.x, argument)


def _named(value: Any) -> Mapping[str, Any]:
    if isinstance(value, dict):
        return value
    if value is None:
        raise TypeError("the model returned None: is a `return` missing?")
    return {"model": value}


def _guarded(replies: int, action: Any) -> bool:
    """Do it; whatever it raises becomes a reply."""
    try:
        action()
        return True
    except BaseException as error:  # SystemExit and KeyboardInterrupt of a model are failures of the model
        failure = described(error)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    _send(replies, FAILED, json.dumps(failure).encode())
    return False


def described(error: BaseException) -> dict[str, str]:
    """One line with class, message, file and line of an exception, and its traceback without our own frames."""
    trace = error.__traceback__
    while trace is not None and Path(trace.tb_frame.f_code.co_filename).name == "child.py":
        trace = trace.tb_next
    text = str(error).strip()
    first = text.splitlines()[0] if text else "no message"
    frames = traceback.extract_tb(trace)
    where = _place([(frame.filename, frame.lineno or 0, frame.name) for frame in reversed(frames)])
    full = "".join(traceback.format_exception(type(error), error, trace))
    return {"message": f"{type(error).__name__}: {first}"[:400] + where, "traceback": full[-4000:]}


def _place(frames: list[tuple[str, int, str]]) -> str:
    """`` (model.py line 12, in decay)`` of the innermost frame that is the user's; frames from the innermost on."""
    if not frames:
        return ""
    libraries = ("site-packages", "dist-packages", f"{os.sep}lib{os.sep}python", "<frozen")
    own = [frame for frame in frames if not any(part in frame[0] for part in libraries)] or frames
    file, line, name = own[0]
    return f" ({Path(file).name} line {line}, in {name})"


def _end_with_worker(life: int) -> None:
    """The worker holds the other end of `life`: when it is gone, so are this process and what it started."""
    os.read(life, 1)
    os.killpg(os.getpgrp(), signal.SIGKILL)


def _read(descriptor: int, n: int) -> bytes:
    """n bytes; fewer only where the worker has closed its end."""
    data = os.read(descriptor, n) if n else b""
    while len(data) < n:
        more = os.read(descriptor, n - len(data))
        if not more:
            return b""
        data += more
    return data


def _send(descriptor: int, letter: bytes, data: bytes = b"") -> None:
    view = memoryview(REPLY.pack(letter, len(data)) + data)
    while view:
        view = view[os.write(descriptor, view) :]


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:4]))
