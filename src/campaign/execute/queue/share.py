"""A task of a job array: forks its workers, each of which has one share of the blocks to itself.

``python -m campaign.execute.queue.share <campaign directory>``, inside a job. A task that is told to leave (its time is
up) puts itself back into the queue; one that SLURM puts back begins where the published blocks and checkpoints say.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import signal
import subprocess
import sys
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from campaign.errors import CampaignError, Locked
from campaign.execute.dask.nursery import preload
from campaign.execute.devices import visible_gpus, worker_environments
from campaign.execute.losses import Losses
from campaign.execute.queue.array_plan import ArrayPlan, load_array
from campaign.execute.queue.scripts import AGAIN
from campaign.execute.remote import Unfit, run_remote
from campaign.execute.stopping import TIME_IS_UP, job_deadline, note_end_time, stop_on_signals, worker_control
from campaign.store.events import EventLog
from campaign.store.layout import BlockTask, Layout
from campaign.store.lease import Lease, acquire
from campaign.store.summaries import published

MAX_STILLBORN = 3  # times that the worker of a share is killed before it has begun a block
MAX_RESTARTS = 50  # times that a task puts itself back into the queue
WAIT_S = 3.0  # between two tries to get a share that somebody else still has
FAILED = 1
UNFIT = 76  # exit code of a worker on a node that cannot do the work
LATE = AGAIN  # exit code of a worker that has no time for its next block
NOTHING = 0xFFFFFFFF  # in the place of a block's number: the worker runs none


def main() -> None:
    """Entry of an array task."""
    layout = Layout(Path(sys.argv[1]).resolve())
    plan = load_array(layout)
    token, index = os.environ["CAMPAIGN_ARRAY"], int(os.environ["SLURM_ARRAY_TASK_ID"])
    if plan is None or plan.token != token:
        print(f"job array {token} no longer belongs to the campaign: nothing to do", flush=True)
        return
    note_end_time()
    preload()
    code = _Crew(layout, plan, index).run()
    sys.stdout.flush()
    os._exit(code)


@dataclass(slots=True)
class _Crew:
    """The workers of one array task."""

    layout: Layout
    plan: ArrayPlan
    index: int
    pids: dict[int, int] = field(default_factory=dict)  # pid → share
    given_up: dict[int, set[BlockTask]] = field(default_factory=dict)
    current: mmap.mmap = field(init=False)  # share's place in the crew → number of the block that it runs

    def run(self) -> int:
        """Until all shares are done, or everybody was told to leave. Returns the exit code of the task."""
        plan, settings = self.plan, self.plan.settings
        gpus = () if settings.get("device") == "cpu" else visible_gpus()
        environments = worker_environments(
            plan.workers,
            threads=settings.get("threads"),
            gpus=gpus,
            sharers=settings.get("workers_per_gpu", 1),
            device=settings.get("device"),
        )
        self.current = mmap.mmap(-1, 4 * plan.workers)
        for place in range(plan.workers):
            self._note_block(place, NOTHING)
        losses = Losses(layout=self.layout, events=EventLog(self.layout))
        was_signalled = []
        for number in (signal.SIGUSR1, signal.SIGTERM):
            signal.signal(number, lambda n, _: (was_signalled.append(n), self._pass_on()))
        first = self.index * plan.workers
        for place in range(plan.workers):
            self._fork(first + place, place, environments[place])
        code, is_late, stillborn = 0, False, Counter[int]()
        while self.pids:
            try:
                pid, status = os.wait()
            except InterruptedError:
                continue
            share = self.pids.pop(pid)
            ended = os.waitstatus_to_exitcode(status)
            block = self._block(share)
            if ended == LATE and block is None:
                is_late = True
            elif ended >= 0 and block is None:
                code = code or ended
            elif block is None and stillborn[share] >= MAX_STILLBORN:
                code = code or FAILED
            elif not was_signalled:
                stillborn[share] += block is None
                how = f"ended by {signal.Signals(-ended).name}" if ended < 0 else f"left by it, with exit code {ended}"
                self._note_loss(losses, share, block, f"its worker was {how}")
                self._fork(share, share - first, environments[share - first])
        is_warned = is_late or signal.SIGUSR1 in was_signalled
        return code if self._requeue(is_warned=is_warned) else AGAIN

    def _pass_on(self) -> None:
        for pid in self.pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)

    def _fork(self, share: int, place: int, environment: dict[str, str]) -> None:
        sys.stdout.flush()
        pid = os.fork()
        if pid:
            self.pids[pid] = share
            return
        code = FAILED
        try:
            stop_on_signals()
            os.environ.update(environment)
            sys.path.extend(p for p in self.plan.sys_path if p not in sys.path)
            code = self._work(share, place)
        except CampaignError as error:
            print(f"error: {error}", flush=True)
            code = UNFIT if isinstance(error, Unfit) else error.exit_code
        except BaseException:
            traceback.print_exc()
        finally:
            self._note_block(place, NOTHING)
            sys.stderr.flush()
            os._exit(code)

    def _work(self, share: int, place: int) -> int:
        tasks = self.plan.share(share)
        lease = self._own(share, tasks)
        if lease is None:
            return 0
        with lease:
            skipped = self.given_up.get(share, set())
            for number, task in enumerate(tasks):
                if task in skipped:
                    continue
                self._note_block(place, number)
                receipt = run_remote(str(self.layout.root), task, None, self.plan.work)
                if receipt.state == "interrupted":
                    return LATE if receipt.message == TIME_IS_UP else 0
                if not lease.is_held():  # somebody took over while this node was cut off
                    return 0
        return 0

    def _own(self, share: int, tasks: list[BlockTask]) -> Lease | None:
        """The share's lease; waits for a twin on a node that was cut off. None: nothing is left, or told to leave."""
        control = worker_control(self.layout)
        while not control.must_stop():
            try:
                return acquire(self.layout.share_lease(self.plan.token, share))
            except Locked:
                done = published(self.layout, self.plan.stage)
                if all((task.part, task.block) in done for task in tasks):
                    return None
                time.sleep(WAIT_S)
        return None

    def _note_block(self, place: int, number: int) -> None:
        self.current[4 * place : 4 * place + 4] = number.to_bytes(4, "little")

    def _block(self, share: int) -> BlockTask | None:
        """The block that the worker of a share runs, or ran when it died; None when it runs none."""
        place = share - self.index * self.plan.workers
        number = int.from_bytes(self.current[4 * place : 4 * place + 4], "little")
        return None if number == NOTHING else self.plan.share(share)[number]

    def _note_loss(self, losses: Losses, share: int, block: BlockTask | None, reason: str) -> None:
        receipt = None if block is None else losses.note(block, reason)
        if receipt is not None:
            self.given_up.setdefault(share, set()).add(receipt.task)
            place = {"stage": receipt.task.stage, "part": receipt.task.part, "block": receipt.task.block}
            losses.events.append("block_lost", **place, reason=receipt.message, is_final=True)

    def _requeue(self, *, is_warned: bool) -> bool:
        """Go back into the queue when time ended this task before its work: neither a person nor SLURM itself did.

        False: it should, and cannot, because SLURM is not seen from here; the job's shell does it then.
        """
        deadline = job_deadline()
        is_late = is_warned or (deadline is not None and time.time() >= deadline)
        if not is_late or self.layout.stop.exists():
            return True
        done = published(self.layout, self.plan.stage)
        first = self.index * self.plan.workers
        shares = (self.plan.share(first + place) for place in range(self.plan.workers))
        is_done = all((task.part, task.block) in done for share in shares for task in share)
        if is_done or int(os.environ.get("SLURM_RESTART_COUNT", "0")) >= MAX_RESTARTS:
            return True
        job = f"{os.environ['SLURM_ARRAY_JOB_ID']}_{self.index}"
        print(f"time is up: back into the queue ({job})", flush=True)
        try:
            subprocess.run(["scontrol", "requeue", job], check=False)  # refused: the driver submits what is left
        except FileNotFoundError:
            return False
        return True


if __name__ == "__main__":
    main()
