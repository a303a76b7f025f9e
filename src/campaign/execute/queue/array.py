"""Blocks in a SLURM job array: no scheduler process that could be lost, and no driver that must stay alive.

Each task of the array has static shares of the blocks. The driver only watches: it turns what is published into
receipts, and submits what is left when an array has ended without finishing it.
"""

from __future__ import annotations

import contextlib
import secrets
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from campaign.errors import Unavailable
from campaign.execute.base import AbstractExecutor, Control, Receipt
from campaign.execute.pilots.keeper import MAX_UNFIT
from campaign.execute.queue import slurm as slurm_queue
from campaign.execute.queue.array_plan import ArrayPlan, load_array
from campaign.execute.queue.profiles import Profile
from campaign.execute.queue.scripts import common_directives, node_directives, python, render
from campaign.execute.queue.share import UNFIT
from campaign.execute.remote import RUN_BLOCK
from campaign.execute.talk import QueueTalk
from campaign.store.events import EventReader
from campaign.store.layout import BlockTask, Layout
from campaign.store.summaries import published
from campaign.store.waiting import log_tail

LOOK_S = 1.0  # between two looks at what is published
QUEUE_S = 3.0  # between two looks at the queue; grows to
QUEUE_MAX_S = 10.0
MAX_FRUITLESS = 3  # arrays in a row that end without a block, before it is given up
EARLY_S = 60.0  # an array that fails sooner, and has published nothing, is given up at once


class ArrayExecutor(AbstractExecutor):
    """A job array, and another one for what is left, until all is done."""

    name = "slurm-array"

    def __init__(self, profile: Profile, *, workers: int | None = None, work: str = RUN_BLOCK) -> None:
        """Args:
        profile: of the cluster.
        workers: worker processes in all; default as many as the profile's jobs hold.
        work: ``"module:function"`` that workers call.
        """
        self.profile = profile
        self.workers = workers or profile.max_jobs * profile.worker.workers
        self.work = work
        self.avoided: set[str] = set()  # nodes that cannot do the work: no GPU, no campaign directory

    def run(self, directory: Path, tasks: Iterable[BlockTask], control: Control) -> Iterator[Receipt]:
        layout = Layout(Path(directory).absolute())
        left = {(t.stage, t.part, t.block): t for t in tasks}
        watch = _Watch(layout, left)
        n_fruitless = 0
        while left and not control.must_stop():
            array = self._adopted(layout, left) or self._submit(layout, list(left.values()))
            n_before, started = len(left), time.monotonic()
            yield from self._follow(array, watch, left, control)
            if control.must_stop():
                return
            self.avoided |= set(slurm_queue.unfit_nodes(array.job, UNFIT))
            if left and len(self.avoided) >= MAX_UNFIT:
                self._give_up(layout, array, f"{len(self.avoided)} nodes are unfit ({', '.join(sorted(self.avoided))})")
            n_fruitless = 0 if len(left) < n_before else n_fruitless + 1
            if left and n_fruitless:
                self._judge(layout, array, n_fruitless, time.monotonic() - started)

    def plan(self, tasks: list[BlockTask], token: str) -> ArrayPlan:
        """How blocks would be dealt out."""
        per_job = self.profile.worker.workers
        n_jobs = min(-(-self.workers // per_job), self.profile.max_jobs, -(-len(tasks) // per_job))
        return ArrayPlan(
            token=token,
            stage=tasks[0].stage,
            blocks=[(t.part, t.block) for t in tasks],
            n_jobs=max(1, n_jobs),
            workers=per_job,
            settings={
                "threads": self.profile.worker.cpus,
                "workers_per_gpu": self.profile.worker.workers_per_gpu,
                "device": self.profile.device,
            },
            work=self.work,
            sys_path=[p for p in sys.path if p],
        )

    def script(self, layout: Layout, array: ArrayPlan) -> str:
        """The job script, as it is submitted."""
        profile = self.profile
        directives = [
            *common_directives(
                profile, f"campaign-{array.stage}", layout.log(f"array-{array.token}-%a"), profile.worker
            ),
            *node_directives(profile),
            f"--array=0-{array.n_jobs - 1}",
            *([f"--exclude={','.join(sorted(self.avoided))}"] if self.avoided else []),
        ]
        command = ["env", f"CAMPAIGN_ARRAY={array.token}", python(profile), "-m", "campaign.execute.queue.share"]
        return render(directives, profile, [*command, str(layout.root)])

    def _submit(self, layout: Layout, tasks: list[BlockTask]) -> ArrayPlan:
        retire_array(layout)  # one of another stage would not have been adopted
        forget_shares(layout)
        array = self.plan(tasks, secrets.token_hex(4))
        array.save(layout)
        layout.logs.mkdir(parents=True, exist_ok=True)
        array = replace(array, job=slurm_queue.submit(self.script(layout, array)))
        array.save(layout)
        return array

    def _adopted(self, layout: Layout, left: dict) -> ArrayPlan | None:
        """The array of a driver before this one, when it is still in the queue and works on these blocks."""
        array = load_array(layout)
        if array is None or not array.job:
            return None
        stage = next(iter(left.values())).stage
        return array if array.stage == stage and slurm_queue.states([array.job]) else None

    def _follow(self, array: ArrayPlan, watch: _Watch, left: dict, control: Control) -> Iterator[Receipt]:
        """Receipts until the array has left the queue."""
        pause, next_look, is_draining, talk = QUEUE_S, 0.0, False, QueueTalk()
        while True:
            yield from watch.receipts()
            if control.cancel.is_set():
                slurm_queue.cancel([array.job])
                return
            if control.must_stop() and not is_draining:
                is_draining = True  # running tasks see lock/stop.json; waiting ones need not begin
                slurm_queue.cancel(["--state=PENDING", array.job])
            if time.monotonic() >= next_look:
                jobs = slurm_queue.states([array.job])
                if not jobs:
                    yield from watch.receipts()
                    return
                hopeless = [job for job in jobs if job.is_hopeless]
                if hopeless and len(hopeless) == len(jobs):
                    slurm_queue.cancel([array.job])
                    raise hopeless[0].never_starts()
                talk.look(jobs)
                next_look = time.monotonic() + pause
                pause = min(1.5 * pause, QUEUE_MAX_S)
            if not left:  # the tasks are about to leave
                next_look = min(next_look, time.monotonic() + LOOK_S)
            time.sleep(LOOK_S)

    def _judge(self, layout: Layout, array: ArrayPlan, n_fruitless: int, seconds: float) -> None:
        """After an array that published nothing: try again, or say why there is no point."""
        endings = slurm_queue.endings(array.job)
        is_early = seconds < EARLY_S and any("FAILED" in e for e in endings)
        if not is_early and n_fruitless < MAX_FRUITLESS:
            return
        how = endings[0] if endings else "unknown end"
        what = f"{n_fruitless} job array{'s' * (n_fruitless > 1)} ended without a finished block"
        self._give_up(layout, array, f"{what} (job {array.job}: {how})")

    def _give_up(self, layout: Layout, array: ArrayPlan, what: str) -> NoReturn:
        tail = log_tail(layout.log(f"array-{array.token}-0"))
        raise Unavailable(
            f"{what}\n{tail}",
            hint="mend the cause (`campaign doctor` in a job on such a node helps), then `campaign resume`",
        )


def array_is_queued(layout: Layout) -> bool:
    """Whether the campaign's last job array waits or runs; False where the queue cannot be asked."""
    array = load_array(layout)
    try:
        return array is not None and bool(array.job) and bool(slurm_queue.states([array.job]))
    except Unavailable:
        return False


def retire_array(layout: Layout) -> None:
    """Remove the job array of an earlier driver from the queue, so that nobody works beside this driver's workers.

    Where there is no SLURM, or it is away, nothing happens: double work is harmless, and the array's leases stand.
    """
    array = load_array(layout)
    if array is None or not array.job:
        return
    with contextlib.suppress(Unavailable):
        slurm_queue.remove([array.job])
        forget_shares(layout)


def forget_shares(layout: Layout) -> None:
    """Remove the leases of the last array's shares, once it has left the queue."""
    array = load_array(layout)
    for share in range(array.n_shares if array is not None else 0):
        layout.share_lease(array.token, share).lease.unlink(missing_ok=True)


class _Watch:
    """Turns what appears on disk into receipts."""

    def __init__(self, layout: Layout, left: dict[tuple[str, int, int], BlockTask]) -> None:
        self.layout = layout
        self.left = left
        self._reader = EventReader(layout)
        for _ in self._reader.read():  # what was before
            pass

    def receipts(self) -> Iterator[Receipt]:
        """Blocks of `left` that were published or given up since the last call; they are taken out of it."""
        ended = {}
        for _, event in self._reader.read():
            if event["event"] == "block_published" or (event["event"] == "block_lost" and event.get("is_final")):
                ended[event["stage"], event["part"], event["block"]] = event
        for key, event in ended.items():
            task = self.left.get(key)
            if task is None:
                continue
            if event["event"] == "block_lost":
                del self.left[key]
                yield Receipt(task=task, state="lost", message=event["reason"])
            elif self.layout.summaries(*key).exists():
                del self.left[key]
                yield _receipt(task, event)
        if self.left:
            stage = next(iter(self.left))[0]
            for part, block in published(self.layout, stage):
                task = self.left.pop((stage, part, block), None)
                if task is not None:
                    yield Receipt(task=task, state="published")


def _receipt(task: BlockTask, event: dict) -> Receipt:
    return Receipt(
        task=task,
        state="published",
        n_ok=event["n_ok"],
        n_failed=event["n_failed"],
        seconds=event["seconds"],
        compile_s=event["compile_s"],
        worker=event["worker"],
    )
