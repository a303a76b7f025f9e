"""Blocks on Dask workers: forked on this machine, or those of a scheduler that runs already."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from campaign.errors import Unavailable
from campaign.execute.base import AbstractExecutor, Control, Receipt
from campaign.execute.dask.nursery import Hello
from campaign.execute.devices import n_processors, visible_gpus, worker_environments
from campaign.execute.remote import RUN_BLOCK
from campaign.execute.scratch import scratch
from campaign.interpreter import running
from campaign.store.layout import BlockTask

START_S = 120.0  # for the first worker to report


class DaskExecutor(AbstractExecutor):
    """Worker processes on this machine. Encrypted and authenticated even here: other users share the loopback."""

    name = "dask"

    def __init__(
        self,
        *,
        workers: int | None = None,
        threads: int | None = None,
        gpus: Sequence[str] | None = None,
        workers_per_gpu: int = 1,
        device: str | None = None,
        start_s: float = START_S,
        dashboard: bool = False,
        work: str = RUN_BLOCK,
    ) -> None:
        """Args:
        workers: processes; default one a GPU, else one a processor.
        threads: of each; default the processors shared out.
        gpus: to hand out; None: those that are visible here, unless `device` is "cpu".
        workers_per_gpu: processes that share a GPU.
        device: "gpu" or "cpu": what blocks must run on.
        start_s: seconds that the first worker may take to start.
        dashboard: show Dask's own pages, on the loopback.
        work: ``"module:function"`` that workers call.
        """
        found = () if device == "cpu" else tuple(gpus) if gpus is not None else visible_gpus()
        n = workers or len(found) * workers_per_gpu or n_processors()
        self.environments = worker_environments(n, threads=threads, gpus=found, sharers=workers_per_gpu, device=device)
        self.start_s = start_s
        self.dashboard = dashboard
        self.work = work
        self._stack = contextlib.ExitStack()
        self._deaths: deque[str] = deque(maxlen=20)
        self._n_given_up = 0
        self._has_begun = False
        self._is_ready = threading.Event()
        self._client: Any = None

    def __enter__(self) -> DaskExecutor:
        """Begin to start: workers import while the caller goes on planning; `run` waits for what is missing."""
        if self._has_begun:
            return self
        self._has_begun = True
        folder = Path(self._stack.enter_context(scratch()))
        self._folder, self._log = folder, folder / "workers.log"
        environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        with self._log.open("wb") as log:
            self._nursery = subprocess.Popen(
                running("campaign.execute.dask.nursery"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
                start_new_session=True,  # a Ctrl-C of the terminal is for the driver alone
            )
        self._stack.callback(self._end_nursery)
        self._listener = threading.Thread(target=self._listen, name="campaign-nursery", daemon=True)
        self._listener.start()
        return self

    def is_ready(self) -> bool:
        """Whether workers would begin at once: their imports are done, or have failed."""
        return self._is_ready.is_set() or self._nursery.poll() is not None

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def run(self, directory: Path, tasks: Iterable[BlockTask], control: Control) -> Iterator[Receipt]:
        from campaign.execute.dask.blocks import run_on_dask

        if self._client is None:
            self._connect()
        yield from run_on_dask(
            self._client,
            Path(directory).absolute(),
            tasks,
            control,
            n_workers=lambda: len(self.environments),
            watch=self._watch,
            why_lost=lambda _: self._why_lost(),
            work=self.work,
        )

    def _connect(self) -> None:
        """Start the scheduler in this process, tell the nursery where it is, connect."""
        from campaign.execute.dask.own_scheduler import start_scheduler

        connection = start_scheduler(self._stack, host="127.0.0.1", dashboard=self.dashboard)
        self._client, self._scheduler, self._keys = connection.client, connection.scheduler, connection.keys
        hello = Hello(
            scheduler=self._scheduler.address,
            security=connection.keys,
            environments=self.environments,
            host="127.0.0.1",
            folder=str(self._folder),
            log=str(self._log),
            sys_path=[p for p in sys.path if p],
        )
        with contextlib.suppress(BrokenPipeError):  # a nursery that is dead already: `_watch` says why
            self._nursery.stdin.write(hello.line())
            self._nursery.stdin.flush()
        self._started = time.monotonic()
        self._has_started = False

    def _listen(self) -> None:
        """Keep what the nursery says of deaths."""
        for line in self._nursery.stdout:
            event = json.loads(line)
            if event["event"] == "ready":
                self._is_ready.set()
            elif event["event"] != "left":
                self._n_given_up += event["event"] == "given_up"
                self._deaths.append(_cause(event["code"]))

    def _watch(self) -> None:
        if not self._has_started:
            self._has_started = bool(self._scheduler.workers)
        is_late = not self._has_started and time.monotonic() - self._started > self.start_s
        is_dead = self._nursery.poll() is not None or self._n_given_up >= len(self.environments)
        if is_dead or is_late:
            what = f"no worker has started in {self.start_s:.0f} s" if is_late else "all worker processes have ended"
            raise Unavailable(
                f"{what}{self._why_lost()}\n{self.log_tail()}",
                hint="try `--executor inline` to see the error in this process, or `campaign doctor`",
            )

    def _why_lost(self) -> str:
        return f" ({self._deaths[-1]})" if self._deaths else ""

    def log_tail(self, n_lines: int = 12) -> str:
        """The last lines that the workers wrote."""
        text = self._log.read_text(errors="replace") if self._log.exists() else ""
        return "\n".join(f"  | {line}" for line in text.splitlines()[-n_lines:])

    def _end_nursery(self) -> None:
        """End the workers at once: whatever they had to say is on disk."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._nursery.pid, 9)
        self._nursery.wait()
        self._listener.join(timeout=5.0)
        for stream in (self._nursery.stdin, self._nursery.stdout):
            with contextlib.suppress(BrokenPipeError):
                stream.close()


def _cause(code: int) -> str:
    """How a process ended, in words."""
    import signal

    if code >= 0:
        return f"exit code {code}"
    name = signal.Signals(-code).name
    return f"killed by {name}" + (", perhaps out of memory" if name == "SIGKILL" else "")
