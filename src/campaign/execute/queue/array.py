"""Blocks in a SLURM job array: no scheduler process that could be lost, and no driver that must stay alive.

Each task of the array has static shares of the blocks. The driver only watches: it turns what is published into
receipts, and submits what is left when an array has ended without finishing it. A block that was under way when its
task ended with all its processes (for want of memory, say) counts as lost once; one that was lost twice gets a job to
itself, so that the guilty one is found.
"""

from __future__ import annotations

import contextlib
import secrets
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from campaign.errors import Unavailable
from campaign.execute.base import AbstractExecutor, Control, Receipt
from campaign.execute.losses import Losses
from campaign.execute.pilots.keeper import MAX_BAD, MAX_UNFIT
from campaign.execute.queue import slurm as slurm_queue
from campaign.execute.queue.array_plan import ArrayPlan, load_array
from campaign.execute.queue.patience import PATIENCE_S, patiently, submit_patiently, wait_for_room
from campaign.execute.queue.profiles import Profile
from campaign.execute.queue.scripts import job_directives, log_option, node_directives, python, render
from campaign.execute.queue.share import UNFIT
from campaign.execute.queue.slurm import Away, Ending, Full
from campaign.execute.queue.watching import Key, Watch
from campaign.execute.remote import RUN_BLOCK
from campaign.execute.talk import QueueTalk, say
from campaign.interpreter import running
from campaign.store.events import EventLog
from campaign.store.layout import BlockTask, Layout
from campaign.store.waiting import log_tail

LOOK_S = 1.0  # between two looks at what is published
QUEUE_S = 3.0  # between two looks at the queue; grows to
QUEUE_MAX_S = 10.0
MAX_FRUITLESS = 3  # arrays in a row that end without having begun a block, before it is given up
MAX_BARREN = 10  # arrays in a row that begin blocks and finish none
EARLY_S = 60.0  # a task that fails sooner, where no other does better, blames its node


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
        self.unfit: set[str] = set()  # nodes that say that they cannot do the work: no GPU, no campaign directory
        self.suspected: list[str] = []  # nodes where tasks end before they can say anything

    def run(self, directory: Path, tasks: Iterable[BlockTask], control: Control) -> Iterator[Receipt]:
        layout = Layout(Path(directory).absolute())
        left = {(t.stage, t.part, t.block): t for t in tasks}
        watch, losses = Watch(layout, left), Losses(layout=layout, events=EventLog(layout))
        n_fruitless, last_words = 0, ""
        while left and not control.must_stop():
            array = self._adopted(layout, left, control)
            if array is None:
                array = self._submit(layout, left, losses, control, last_words)
            if array is None:
                return
            n_before = len(left)
            yield from self._follow(array, watch, left, control)
            if control.must_stop() or not left:
                return
            endings = slurm_queue.endings(array.job)
            has_progress, broken = len(left) < n_before, watch.broken_off()
            for task in broken:
                given_up = losses.note(task, f"its job {array.job} ended: {_how(endings)}")
                if given_up is not None:
                    del left[task.stage, task.part, task.block]
                    yield given_up
            n_fruitless = 0 if has_progress else n_fruitless + 1
            last_words = f"(job {array.job}: {_how(endings)})\n{log_tail(layout.log(f'array-{array.token}-0'))}"
            self._avoid(endings, is_fruitless=not has_progress and not broken)
            if left:
                self._judge(n_fruitless, MAX_BARREN if broken else MAX_FRUITLESS, last_words)

    def plan(
        self, tasks: Sequence[BlockTask], token: str, *, max_jobs: int | None = None, alone: bool = False
    ) -> ArrayPlan:
        """How blocks would be dealt out: to at most `max_jobs` jobs; with `alone` a job has one worker."""
        per_job = 1 if alone else self.profile.worker.workers
        n_jobs = min(-(-self.workers // per_job), self.profile.max_jobs, -(-len(tasks) // per_job))
        return ArrayPlan(
            token=token,
            stage=tasks[0].stage,
            blocks=[(t.part, t.block) for t in tasks],
            n_jobs=max(1, min(n_jobs, max_jobs or n_jobs)),
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
        profile, job = self.profile, self.profile.worker
        own = ["--requeue", *node_directives(profile), f"--array=0-{array.n_jobs - 1}"]
        log = log_option(layout.logs, f"array-{array.token}-%a")
        directives = job_directives(profile, job, array.name, log, own, self.avoided)
        command = [
            "env",
            f"CAMPAIGN_ARRAY={array.token}",
            *running("campaign.execute.queue.share", python(profile, job)),
        ]
        return render(directives, profile, job, [*command, str(layout.root)], computes=True)

    def _submit(
        self, layout: Layout, left: dict[Key, BlockTask], losses: Losses, control: Control, last_words: str
    ) -> ArrayPlan | None:
        """Submit what is left; suspects wait until the others are done. None: told to stop meanwhile.

        Where there may not be as many jobs, the array is a smaller one, and where there may be none, it waits.
        """
        retire_array(layout)  # one of another stage would not have been adopted
        forget_shares(layout)
        layout.logs.mkdir(parents=True, exist_ok=True)
        tasks = [task for task in left.values() if not losses.is_suspect(task)]
        array = self.plan(tasks or list(left.values()), secrets.token_hex(4), alone=not tasks)
        talk = QueueTalk()
        while not control.must_stop():
            array.save(layout)
            try:
                job = submit_patiently(self.script(layout, array), array.name, control.must_stop, say)
            except Full as full:
                if array.n_jobs > 1:
                    array = replace(array, n_jobs=array.n_jobs // 2)
                    continue
                wait_for_room(full, control.must_stop, talk.say_once)
                array = self.plan(
                    [BlockTask(array.stage, *place) for place in array.blocks], array.token, alone=not tasks
                )
            except Unavailable as error:
                if self.avoided and last_words:
                    error.message += f"; {', '.join(self.avoided)} avoided since {last_words}"
                raise
            else:
                array = replace(array, job=job or "")
                array.save(layout)
                return array if job else None
        return None

    def _adopted(self, layout: Layout, left: dict[Key, BlockTask], control: Control) -> ArrayPlan | None:
        """The array of a driver before this one, when it is still in the queue and works on these blocks."""
        array = load_array(layout)
        if array is None or array.stage != next(iter(left.values())).stage:
            return None
        found = patiently(lambda: slurm_queue.named([array.name]), control.must_stop, say)
        return replace(array, job=found[0].array or found[0].job) if found else None

    def _follow(
        self, array: ArrayPlan, watch: Watch, left: dict[Key, BlockTask], control: Control
    ) -> Iterator[Receipt]:
        """Receipts until the array has left the queue. While the controller is away its tasks go on, and so do we."""
        pause, next_look, is_draining, talk = QUEUE_S, 0.0, False, QueueTalk()
        answered = time.monotonic()
        while True:
            yield from watch.receipts()
            if control.cancel.is_set():
                slurm_queue.cancel([array.job])
                return
            if control.must_stop() and not is_draining:
                is_draining = True  # running tasks see lock/stop.json; waiting ones need not begin
                slurm_queue.cancel([array.job], only_waiting=True)
            if time.monotonic() >= next_look:
                try:
                    jobs = slurm_queue.named([array.name], tries=1)
                    answered = time.monotonic()
                except Away as away:
                    if not left:
                        return
                    if time.monotonic() - answered > PATIENCE_S:
                        raise
                    talk.say_once(f"{away.message}: waiting for it; running jobs continue")
                else:
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

    @property
    def avoided(self) -> list[str]:
        """Nodes that the next array is not to run on."""
        return sorted({*self.unfit, *self.suspected})

    def _avoid(self, endings: Sequence[Ending], *, is_fruitless: bool) -> None:
        """Note nodes that are unfit by their own word, and those that swallow jobs.

        A task may fail at once for other reasons, now and then: where others do their work, it takes `MAX_BAD` of them
        to suspect a node, and not many nodes are suspected at a time.
        """
        before = self.avoided
        self.unfit |= {e.node for e in endings if e.exit_code.startswith(f"{UNFIT}:")} - {""}
        holes = black_holes(endings, at_least=1 if is_fruitless else MAX_BAD) - {*before, *self.unfit}
        self.suspected += sorted(holes)
        if not is_fruitless:
            self.suspected = self.suspected[-(MAX_UNFIT - 1) :]
        fresh = [node for node in self.avoided if node not in before]
        if fresh:
            say(f"avoided from now on: {', '.join(fresh)}, where tasks of the job array fail")

    def _judge(self, n_fruitless: int, limit: int, last_words: str) -> None:
        """After an array that finished less than it should: try again, or say why there is no point."""
        if len(self.unfit) >= MAX_UNFIT or (n_fruitless and len(self.avoided) >= MAX_UNFIT):
            _give_up(f"{len(self.avoided)} nodes are unfit: {', '.join(self.avoided)} {last_words}")
        if n_fruitless >= limit:
            _give_up(f"{n_fruitless} job arrays ended without a finished block {last_words}")


def black_holes(endings: Sequence[Ending], at_least: int = 1) -> set[str]:
    """Nodes on which that many tasks failed within `EARLY_S`, and none did anything else."""
    failed = [e for e in endings if e.state in ("FAILED", "NODE_FAIL", "BOOT_FAIL") and e.run_s < EARLY_S]
    counts = Counter(e.node for e in failed if e.node)
    better = {e.node for e in endings if e not in failed}
    return {node for node, n in counts.items() if n >= at_least and node not in better}


def _how(endings: Sequence[Ending]) -> str:
    """How tasks ended that did not end well, each way once; else how the first did."""
    bad = dict.fromkeys(str(e) for e in endings if e.state != "COMPLETED")
    return "; ".join(bad) or (str(endings[0]) if endings else "unknown end")


def _give_up(what: str) -> NoReturn:
    raise Unavailable(
        what, hint="fix the cause (`campaign doctor` in a job on such a node helps), then `campaign resume`"
    )


def array_is_queued(layout: Layout) -> bool:
    """Whether the campaign's last job array waits or runs; False where the queue cannot be asked."""
    array = load_array(layout)
    try:
        return array is not None and bool(slurm_queue.named([array.name]))
    except Unavailable:
        return False


def retire_array(layout: Layout) -> None:
    """Remove the job array of an earlier driver from the queue, so that nobody works beside this driver's workers.

    Where there is no SLURM, or it is away, nothing happens: double work is harmless, and the array's leases hold.
    """
    array = load_array(layout)
    if array is None:
        return
    with contextlib.suppress(Unavailable):
        slurm_queue.remove([array.name])
        forget_shares(layout)


def forget_shares(layout: Layout) -> None:
    """Remove the leases of the last array's shares, once it has left the queue."""
    array = load_array(layout)
    for share in range(array.n_shares if array is not None else 0):
        layout.share_lease(array.token, share).lease.unlink(missing_ok=True)
