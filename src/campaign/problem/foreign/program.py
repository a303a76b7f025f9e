"""A model that is a program: started once an evaluation in a folder of its own, its outputs read from what it wrote."""

from __future__ import annotations

import contextlib
import json
import os
import re
import selectors
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from campaign.problem.foreign.environment import model_environment
from campaign.problem.foreign.evaluator import ERROR, TAIL, TIMEOUT, Answers, Failure, Outputs
from campaign.problem.foreign.guard import Guard
from campaign.problem.foreign.process import ended
from campaign.problem.foreign.readers import Output

MOST_OUTPUT = 64 << 20  # bytes of stdout; a program that prints without end is stopped there
_GUARD = Guard()
PLACEHOLDER = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """How a program is started and read.

    Attributes:
        command: words; ``{name}`` is the value of a parameter. No shell sees them.
        names: of the parameters, in the order of theta.
        templates: files to write into the working folder: name → text with ``{name}`` placeholders.
        json_file: file to write the parameters to, as one JSON object; "-" is stdin.
        outputs: what it gives, by name.
        timeout_s: the longest it may take [s].
        environment: variables of its own.
        scratch: folder for working folders; None is the system's.
    """

    command: tuple[str, ...]
    names: tuple[str, ...]
    templates: Mapping[str, str]
    json_file: str | None
    outputs: Mapping[str, Output]
    timeout_s: float
    environment: Mapping[str, str]
    scratch: str | None


class ProgramEvaluator:
    """Runs a `Program` for every row. A working folder is deleted after a good run and kept after a failed one."""

    def __init__(self, program: Program) -> None:
        self.program = program

    def evaluate(self, theta: np.ndarray) -> Answers:
        rows: list[np.ndarray] = []
        for row in theta:
            found = self._once(row)
            if isinstance(found, Failure):
                return Answers.of(rows, found)
            rows.append(np.concatenate([value.reshape(-1) for value in found.values()]))
        return Answers.of(rows)

    def jacobian(self, theta: np.ndarray) -> Answers | None:
        return None

    def start(self) -> None:
        """Nothing to prepare."""

    def shapes(self, theta: np.ndarray) -> Outputs | Failure:
        """What the program gives at one theta."""
        found = self._once(theta)
        return found if isinstance(found, Failure) else Outputs.of({name: v.shape for name, v in found.items()})

    def _once(self, theta: np.ndarray) -> dict[str, np.ndarray] | Failure:
        folder = Path(tempfile.mkdtemp(prefix="campaign-model-", dir=self.program.scratch))
        try:
            found = self._run(theta, folder)
        except OSError as error:
            found = Failure(outcome=ERROR, message=f"the program cannot be started: {error.filename}: {error.strerror}")
        if isinstance(found, Failure):
            details = {**found.details, "folder": str(folder)}
            return Failure(outcome=found.outcome, message=f"{found.message}; kept: {folder}", details=details)
        shutil.rmtree(folder, ignore_errors=True)
        return found

    def _run(self, theta: np.ndarray, folder: Path) -> dict[str, np.ndarray] | Failure:
        program = self.program
        words = {name: repr(value) for name, value in zip(program.names, theta.tolist(), strict=True)}
        for name, text in program.templates.items():
            (folder / name).write_text(filled(text, words), encoding="utf-8")
        stdin = b""
        if program.json_file is not None:
            document = json.dumps(dict(zip(program.names, theta.tolist(), strict=True))).encode()
            if program.json_file == "-":
                stdin = document
            else:
                (folder / program.json_file).write_bytes(document)
        command = [filled(word, words) for word in program.command]
        _GUARD.ready()
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=model_environment(program.environment),
            start_new_session=True,
        )
        with _GUARD.watching(process.pid):
            stdout, stderr, reason = talk(process, stdin, program.timeout_s)
        details = {"stdout": _end(stdout), "stderr": _end(stderr), "exit_status": str(process.returncode)}
        if reason is not None:
            return Failure(outcome=reason[0], message=reason[1], details=details)
        if process.returncode != 0:
            last = (_end(stderr) or _end(stdout)).strip().splitlines()
            said = f": {last[-1][:300]}" if last else ""
            return Failure(outcome=ERROR, message=f"the program {ended(process.returncode)}{said}", details=details)
        try:
            return {name: output.read(stdout, folder) for name, output in program.outputs.items()}
        except ValueError as error:
            return Failure(outcome=ERROR, message=str(error), details=details)


def filled(text: str, words: Mapping[str, str]) -> str:
    """`text` with ``{name}`` replaced for every name in `words`; other braces stay."""
    return PLACEHOLDER.sub(lambda match: words.get(match[1], match[0]), text)


def talk(process: subprocess.Popen, stdin: bytes, timeout_s: float) -> tuple[bytes, bytes, tuple[str, str] | None]:
    """Feed a process and read it to its end: (stdout, end of stderr, why it was stopped).

    Its whole process group is killed when its time is up or it prints too much, and also when it ends and leaves
    others behind.
    """
    deadline = time.monotonic() + timeout_s
    out, err = bytearray(), bytearray()
    reason: tuple[str, str] | None = None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout.fileno(), selectors.EVENT_READ, out)
        selector.register(process.stderr.fileno(), selectors.EVENT_READ, err)
        if stdin:
            os.set_blocking(process.stdin.fileno(), False)
            selector.register(process.stdin.fileno(), selectors.EVENT_WRITE, None)
        while selector.get_map() and reason is None:
            left = deadline - time.monotonic()
            if left <= 0:
                reason = (TIMEOUT, f"the program took longer than timeout_s = {timeout_s:g} s")
                break
            for key, _ in selector.select(min(left, 3600.0)):
                if key.data is None:
                    stdin = _fed(key.fd, stdin)
                    if not stdin:
                        selector.unregister(key.fd)
                        process.stdin.close()
                    continue
                data = os.read(key.fd, 1 << 16)
                if not data:
                    selector.unregister(key.fd)
                key.data.extend(data)
            del err[:-TAIL]
            if len(out) > MOST_OUTPUT:
                reason = (ERROR, f"the program printed more than {MOST_OUTPUT >> 20} MB")
    if reason is None:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            reason = (TIMEOUT, f"the program took longer than timeout_s = {timeout_s:g} s")
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()
    return bytes(out), bytes(err), reason


def _fed(descriptor: int, data: bytes) -> bytes:
    """What is left to write; nothing when the program reads no more."""
    try:
        return data[os.write(descriptor, data) :]
    except BrokenPipeError:
        return b""


def _end(data: bytes) -> str:
    return data[-TAIL:].decode(errors="replace")
