"""Blocks on pilot jobs of a cluster: `dask-slurm`, and by the profile's `system` PBS, LSF and Grid Engine."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from campaign.errors import Unavailable
from campaign.execute.base import AbstractExecutor, Control, Receipt
from campaign.execute.pilots import jobs as pilot_jobs
from campaign.execute.pilots.hub import Hub, beside_driver, in_job
from campaign.execute.pilots.keeper import Keeper, Pilot
from campaign.execute.queue import others as other_queues
from campaign.execute.queue import slurm as slurm_queue
from campaign.execute.queue.patience import patiently
from campaign.execute.queue.profiles import Profile
from campaign.execute.remote import RUN_BLOCK, Unfit
from campaign.execute.talk import QueueTalk, say
from campaign.store.layout import BlockTask, Layout
from campaign.store.waiting import log_tail

QUEUE_S = 3.0  # between two looks at the queue; on a busy cluster
START_S = 90.0  # for a running pilot to connect a worker


class PilotExecutor(AbstractExecutor):
    """A Dask scheduler, and jobs that bring workers to it; a keeper replaces those that end."""

    name = "dask-slurm"

    def __init__(
        self, profile: Profile, *, workers: int | None = None, start_s: float = START_S, queue_s: float = QUEUE_S,
        scheduler: str = "driver", dashboard: bool = False, work: str = RUN_BLOCK,
    ) -> None:  # fmt: skip
        """Args:
        profile: of the cluster.
        workers: worker processes in all; default as many as the profile's jobs hold.
        start_s: seconds that a pilot may take from its start to its first worker.
        queue_s: seconds between two looks at the queue.
        scheduler: "driver": next to the driver, ends with it; "job": in its own job, to which drivers come back.
        dashboard: show Dask's own pages, on the loopback of the scheduler's host.
        work: ``"module:function"`` that workers call.
        """
        self.profile = profile
        self.n_jobs = min(profile.max_jobs, -(-(workers or 10**9) // profile.worker.workers))
        self.start_s = start_s
        self.queue_s = queue_s
        self.work = work
        self.scheduler = scheduler
        self.dashboard = dashboard
        self._stack = contextlib.ExitStack()
        self._hub: Hub | None = None
        self._keeper: Keeper | None = None
        self._looked_at = -queue_s
        self._talk = QueueTalk()

    def __exit__(self, *exception: object) -> None:
        if self._keeper is not None:
            self._keeper.end()
        self._stack.close()

    def run(self, directory: Path, tasks: Iterable[BlockTask], control: Control) -> Iterator[Receipt]:
        from campaign.execute.dask.blocks import run_on_dask

        layout = Layout(Path(directory).absolute())
        waiting = list(tasks)
        self._n_workers = 0
        self._n_wanted = min(self.n_jobs, max(1, -(-len(waiting) // self.profile.worker.workers)))
        if self._hub is None or self._keeper is None:
            if self.scheduler == "job":
                self._hub = in_job(self._stack, layout, self.profile, control.must_stop, self.dashboard)
            else:
                self._hub = beside_driver(self._stack, layout, self.profile, self.dashboard)
            if self._hub is None:
                return
            self._keeper = self._make_keeper(self._hub, layout, control.must_stop)
        hub = self._hub
        yield from run_on_dask(
            hub.client,
            layout.root,
            waiting,
            control,
            n_workers=lambda: self._n_workers,
            watch=self._watch,
            why_lost=self._why_lost,
            why_unfit=self._why_unfit,
            work=self.work,
        )

    def _make_keeper(self, hub: Hub, layout: Layout, must_stop: Callable[[], bool]) -> Keeper:
        layout.logs.mkdir(parents=True, exist_ok=True)
        self._logs = layout.logs

        def describe(name: str, avoided: tuple[str, ...] = ()) -> Any:
            return pilot_jobs.pilot_job(self.profile, hub.address, name, hub.path, layout.logs, avoided)

        job_class = type(describe("pilot"))
        keeper = Keeper(
            submit=lambda name, avoided: pilot_jobs.submit(describe(name, avoided)),
            cancel=lambda jobs: pilot_jobs.cancel(job_class, jobs),
            explain=self._explain,
            is_fault=self._is_fault,
            where=self._where,
            say=say,
            start_s=self.start_s,
            prefix=hub.prefix,
        )
        if self.profile.system == "slurm":
            found = patiently(slurm_queue.queue, must_stop, say)
            keeper.adopt(found or (), time.monotonic())
        return keeper

    def _watch(self) -> None:
        now = time.monotonic()
        if now - self._looked_at < self.queue_s:
            return
        self._looked_at = now
        keeper, hub = self._keeper, self._hub
        if keeper is None or hub is None:
            return
        names = hub.workers()
        self._n_workers = len(names)
        jobs, system = [pilot.job for pilot in keeper.pilots.values()], self.profile.system
        try:
            states = slurm_queue.queue(tries=1) if system == "slurm" else other_queues.states(system, jobs)
        except Unavailable:  # the controller is away: workers go on, and so do we
            return
        keeper.look(now, self._n_wanted, states, names)
        self._talk.look([state for state in states if state.job in jobs])

    def _is_fault(self, pilot: Pilot) -> bool:
        if self.profile.system != "slurm":
            return True
        return any(ending.state == "FAILED" for ending in slurm_queue.endings(pilot.job))

    def _where(self, pilot: Pilot) -> str:
        endings = slurm_queue.endings(pilot.job) if self.profile.system == "slurm" else []
        return endings[0].node if endings else ""

    def _explain(self, pilot: Pilot) -> str:
        tail = log_tail(self._logs / f"{pilot.name}-{pilot.job}.log")
        endings = slurm_queue.endings(pilot.job) if self.profile.system == "slurm" else []
        return f"job {pilot.job} ({endings[0] if endings else 'unknown end'})\n{tail}"

    def _why_lost(self, worker: str) -> str:
        keeper = self._keeper
        pilot = keeper.pilots.get(worker.rsplit("-", 2)[0]) if keeper is not None else None
        return f" (job {pilot.job} on {pilot.node or 'an unknown node'})" if pilot else ""

    def _why_unfit(self, error: Unfit) -> str | None:
        is_worth_it = self._keeper is not None and self._keeper.blame(error.pilot)
        return error.message if is_worth_it else None
