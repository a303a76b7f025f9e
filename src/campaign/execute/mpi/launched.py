"""A launched MPI world, as the driver sees it."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import secrets
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from campaign import errors
from campaign.errors import CampaignError
from campaign.execute.base import Receipt
from campaign.execute.devices import isa_environment
from campaign.execute.mpi.launcher import launch_command
from campaign.execute.mpi.world import (
    EXPECTED_SIZE,
    SETTINGS,
    Charter,
    RankSettings,
    decode_receipt,
    encode_task,
)
from campaign.execute.scratch import scratch
from campaign.interpreter import running
from campaign.store.layout import BlockTask

_MODULE = "campaign.execute.mpi.world"
_TOO_SMALL = ("More processors requested than permitted", "Requested node configuration is not available")


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """What is launched, and how; see `MpiExecutor`."""

    n_workers: int
    settings: RankSettings
    launcher: str | Sequence[str]
    start_s: float
    isa: str | None
    python: Sequence[str]
    work: str


class LaunchedWorld:
    """A launched MPI world, as the driver sees it."""

    def __init__(self, launch: Launch, directory: Path) -> None:
        self.launch = launch
        self.directory = directory
        self.n_workers = launch.n_workers
        self.flying: set[BlockTask] = set()
        self.is_alone = False
        self.has_started = False
        self.n_answers = 0
        self.code: int | None = None
        self.noise: deque[str] = deque(maxlen=30)
        self._answers: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._token = secrets.token_hex(8)
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> LaunchedWorld:
        launch = self.launch
        command = [*launch_command(launch.n_workers + 1, launch.launcher), *running(_MODULE, launch.python)]
        folder = self._stack.enter_context(scratch())
        settings = json.dumps(asdict(launch.settings))
        environment = os.environ | {EXPECTED_SIZE: str(launch.n_workers + 1), SETTINGS: settings}
        environment |= isa_environment(launch.isa)
        if "SLURM_CPUS_PER_TASK" in os.environ:  # since SLURM 22.05 `srun` does not take it over by itself
            environment.setdefault("SRUN_CPUS_PER_TASK", os.environ["SLURM_CPUS_PER_TASK"])
        environment |= {"TMPDIR": folder} if len(folder) < 60 else {}
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._stack.callback(self._end)
        self._listener = threading.Thread(target=self._listen, name="campaign-mpi", daemon=True)
        self._listener.start()
        charter = Charter(
            token=self._token,
            directory=str(self.directory),
            work=launch.work,
            sys_path=[p for p in sys.path if p],
        )
        self._write(charter.line())
        self._wait_until_ready()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    @property
    def is_dead(self) -> bool:
        return self.code is not None

    def hand_out(self, task: BlockTask, deadline: float | None) -> None:
        self.flying.add(task)
        self._write(encode_task(task, deadline))

    def next_receipt(self, timeout: float) -> Receipt | None:
        """The next receipt; None when none came in time, or the world has ended.

        Raises:
            CampaignError: what the block raised in its rank.
        """
        try:
            line = self._answers.get(timeout=timeout)
        except queue.Empty:
            return None
        if line is None:
            self.code = self._process.wait()
            return None
        answer = json.loads(line)
        if "error" in answer:
            raise _rebuilt(answer["error"])
        receipt = decode_receipt(answer["receipt"])
        self.flying.discard(receipt.task)
        self.is_alone = False
        self.n_answers += 1
        return receipt

    def last_words(self) -> str:
        code = self.code or 0
        how = f"exit code {code}" if code >= 0 else signal.Signals(-code).name
        telling = [line for line in self.noise if "KILLED BY" in line or "wrong launcher" in line or "error:" in line]
        return f"the MPI world ended ({how})" + (f": {telling[-1].strip(' =|')}" if telling else "")

    def hint(self) -> str:
        """What to do about a world that did not start."""
        if any(sign in line for line in self.noise for sign in _TOO_SMALL):
            n = self.launch.n_workers + 1
            return (
                f"the allocation is too small for {n} ranks (one hands out blocks): ask for more tasks, or `--workers`"
            )
        return (
            "the launcher and the MPI library of mpi4py must match; set `execution.options.launcher`, or see "
            "`campaign doctor`"
        )

    def log_tail(self) -> str:
        return "\n".join(f"  | {line}" for line in list(self.noise)[-12:])

    def _wait_until_ready(self) -> None:
        try:
            line = self._answers.get(timeout=self.launch.start_s)
        except queue.Empty:
            self.noise.append(f"no answer in {self.launch.start_s:.0f} s")
            self.code = 0
            return
        if line is None:
            self.code = self._process.wait()
            return
        self.n_workers = json.loads(line)["ready"]
        self.has_started = True

    def _listen(self) -> None:
        """Sort the world's output: answers go to the queue, the rest is kept for error messages."""
        prefix = self._token + " "
        for line in self._process.stdout:
            if line.startswith(prefix):
                self._answers.put(line[len(prefix) :])
            else:
                self.noise.append(line.rstrip()[:300])
        self._answers.put(None)

    def _write(self, text: str) -> None:
        with contextlib.suppress(BrokenPipeError):  # it has died: the listener says so
            self._process.stdin.write(text)
            self._process.stdin.flush()

    def _end(self) -> None:
        """Close the input, which lets idle ranks leave; end the launcher when they do not."""
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(timeout=0.0 if self.flying else 10.0)
        except subprocess.TimeoutExpired:
            self._process.terminate()  # launchers pass it on to their ranks
            try:
                self._process.wait(timeout=5.0)
            except subprocess.TimeoutExpired:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
        self._listener.join(timeout=5.0)
        self._process.stdout.close()


def _rebuilt(error: dict[str, Any]) -> CampaignError:
    """An exception that a rank described."""
    kind = getattr(errors, error["kind"], None)
    if isinstance(kind, type) and issubclass(kind, CampaignError) and kind is not errors.ManifestError:
        return kind(error["text"])
    return CampaignError(f"a block raised {error['kind']}: {error['text']}")
