"""Blocks on MPI ranks, through `mpi4py.futures`."""

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
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from campaign import errors
from campaign.errors import CampaignError, Unavailable
from campaign.execute.base import AbstractExecutor, Control, Receipt
from campaign.execute.devices import isa_environment, n_processors, visible_gpus
from campaign.execute.losses import SUSPECT, Losses
from campaign.execute.mpi.launcher import launch_command
from campaign.execute.mpi.world import (
    EXPECTED_SIZE,
    SETTINGS,
    WRONG_LAUNCHER,
    Charter,
    RankSettings,
    decode_receipt,
    encode_task,
)
from campaign.execute.remote import RUN_BLOCK
from campaign.execute.scratch import scratch
from campaign.execute.stopping import TIME_IS_UP
from campaign.execute.window import PAUSE_S
from campaign.store.events import EventLog
from campaign.store.layout import BlockTask, Layout

BLOCKS_A_RANK = 2  # one runs, one waits
MAX_STARTS = 5  # of the world in a row without one finished block
START_S = 110.0  # for the world to report: whoever waits hears of it within two minutes


class MpiExecutor(AbstractExecutor):
    """Launches an MPI world beside this process and feeds it. A rank's death ends the world, and a new one goes on."""

    name = "mpi"

    def __init__(
        self,
        *,
        workers: int | None = None,
        threads: int | None = None,
        workers_per_gpu: int = 1,
        device: str | None = None,
        launcher: str | Sequence[str] = "auto",
        start_s: float = START_S,
        isa: str | None = None,
        python: Sequence[str] | None = None,
        work: str = RUN_BLOCK,
    ) -> None:
        """Args:
        workers: ranks that compute; one more hands out the blocks. Default: the allocation's tasks less one, else one
            a GPU, else one a processor.
        threads: of each rank.
        workers_per_gpu: ranks that share a GPU.
        device: "gpu" or "cpu": what blocks must run on.
        launcher: see `launch_command`.
        start_s: seconds that the world may take to start.
        isa: the newest instructions that XLA may use on a CPU.
        python: the words that run Python in a rank; None: this one.
        work: ``"module:function"`` that ranks call.
        """
        tasks = int(os.environ.get("SLURM_NTASKS", 0)) - 1
        gpus = 0 if device == "cpu" else len(visible_gpus()) * workers_per_gpu
        self.n_workers = workers or (tasks if tasks > 0 else 0) or gpus or n_processors()
        each = threads or (1 if "SLURM_JOB_ID" in os.environ else max(1, n_processors() // self.n_workers))
        self.settings = RankSettings(threads=each, workers_per_gpu=workers_per_gpu, device=device)
        self.launcher = launcher
        self.start_s = start_s
        self.isa = isa
        self.python = list(python or [sys.executable])
        self.work = work

    def run(self, directory: Path, tasks: Iterable[BlockTask], control: Control) -> Iterator[Receipt]:
        directory = Path(directory).absolute()
        losses = Losses(layout=Layout(directory), events=EventLog(Layout(directory)), limit=2 * SUSPECT)
        again: list[BlockTask] = []
        waiting = iter(tasks)
        n_fruitless = 0
        while not control.must_stop():
            with _World(self, directory) as world:
                n_before = world.n_answers
                yield from _feed(world, waiting, again, losses, control)
                if not world.flying and not world.is_dead:
                    return
                if control.cancel.is_set():
                    return
                reason = world.last_words()
                n_fruitless = 0 if world.n_answers > n_before else n_fruitless + 1
                if world.code == WRONG_LAUNCHER or n_fruitless >= MAX_STARTS or not world.has_started:
                    raise Unavailable(
                        f"the MPI world cannot work: {reason}\n{world.log_tail()}",
                        hint=world.hint(),
                    )
                for task in world.flying:
                    given_up = losses.note(task, reason)
                    if given_up is None:
                        again.append(task)
                    else:
                        yield given_up


def _feed(
    world: _World, waiting: Iterator[BlockTask], again: list[BlockTask], losses: Losses, control: Control
) -> Iterator[Receipt]:
    """Keep a world busy until nothing is left, it dies, or the driver stops."""
    while not world.is_dead:
        if control.cancel.is_set():
            return
        while not control.must_stop() and (task := _next(world, waiting, again, losses)) is not None:
            world.hand_out(task, control.deadline)
        if not world.flying:
            return
        receipt = world.next_receipt(timeout=0.2)
        if receipt is None:
            continue
        if receipt.message == TIME_IS_UP:
            time.sleep(PAUSE_S)
        if receipt.state == "interrupted" and not control.must_stop():
            again.append(receipt.task)
        else:
            yield receipt


def _next(world: _World, waiting: Iterator[BlockTask], again: list[BlockTask], losses: Losses) -> BlockTask | None:
    """The next block to hand out, or None. Suspects wait until everything else is done, and then run alone."""
    if len(world.flying) >= BLOCKS_A_RANK * world.n_workers or world.is_alone:
        return None
    for i, task in enumerate(again):
        if not losses.is_suspect(task):
            return again.pop(i)
    task = next(waiting, None)
    if task is None and again and not world.flying:
        world.is_alone = True
        return again.pop()
    return task


class _World:
    """A launched MPI world, as the driver sees it."""

    def __init__(self, executor: MpiExecutor, directory: Path) -> None:
        self.executor = executor
        self.directory = directory
        self.n_workers = executor.n_workers
        self.flying: set[BlockTask] = set()
        self.is_alone = False
        self.has_started = False
        self.n_answers = 0
        self.code: int | None = None
        self.noise: deque[str] = deque(maxlen=30)
        self._answers: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._token = secrets.token_hex(8)
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> _World:
        executor = self.executor
        command = [*launch_command(executor.n_workers + 1, executor.launcher), *executor.python, "-m", _MODULE]
        folder = self._stack.enter_context(scratch())
        settings = json.dumps(asdict(executor.settings))
        environment = os.environ | {EXPECTED_SIZE: str(executor.n_workers + 1), SETTINGS: settings}
        environment |= isa_environment(executor.isa)
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
            work=executor.work,
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
            n = self.executor.n_workers + 1
            return (
                f"the allocation is too small for {n} ranks (one hands out blocks): ask for more tasks, or `--workers`"
            )
        return (
            "the launcher and the MPI library of mpi4py must belong together; set `execution.options.launcher`, or see "
            "`campaign doctor`"
        )

    def log_tail(self) -> str:
        return "\n".join(f"  | {line}" for line in list(self.noise)[-12:])

    def _wait_until_ready(self) -> None:
        try:
            line = self._answers.get(timeout=self.executor.start_s)
        except queue.Empty:
            self.noise.append(f"no answer in {self.executor.start_s:.0f} s")
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


_MODULE = "campaign.execute.mpi.world"
_TOO_SMALL = ("More processors requested than permitted", "Requested node configuration is not available")


def _rebuilt(error: dict[str, Any]) -> CampaignError:
    """An exception that a rank described."""
    kind = getattr(errors, error["kind"], None)
    if isinstance(kind, type) and issubclass(kind, CampaignError) and kind is not errors.ManifestError:
        return kind(error["text"])
    return CampaignError(f"a block raised {error['kind']}: {error['text']}")
