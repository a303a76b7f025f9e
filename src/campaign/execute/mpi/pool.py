"""Blocks on MPI ranks, through `mpi4py.futures`."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from campaign.errors import Unavailable
from campaign.execute.base import AbstractExecutor, Control, Receipt
from campaign.execute.devices import n_processors, visible_gpus
from campaign.execute.losses import SUSPECT, Losses
from campaign.execute.mpi.launched import Launch, LaunchedWorld
from campaign.execute.mpi.world import (
    WRONG_LAUNCHER,
    RankSettings,
)
from campaign.execute.remote import RUN_BLOCK
from campaign.execute.stopping import TIME_IS_UP
from campaign.execute.window import PAUSE_S
from campaign.store.events import EventLog
from campaign.store.layout import BlockTask, Layout

BLOCKS_A_RANK = 2  # one runs, one waits
MAX_STARTS = 5  # of the world in a row without a finished block, or a run found at fault
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
        n_workers = workers or (tasks if tasks > 0 else 0) or gpus or n_processors()
        each = threads or (1 if "SLURM_JOB_ID" in os.environ else max(1, n_processors() // n_workers))
        self.launch = Launch(
            n_workers=n_workers,
            settings=RankSettings(threads=each, workers_per_gpu=workers_per_gpu, device=device),
            launcher=launcher,
            start_s=start_s,
            isa=isa,
            python=list(python or [sys.executable]),
            work=work,
        )

    def run(self, directory: Path, tasks: Iterable[BlockTask], control: Control) -> Iterator[Receipt]:
        directory = Path(directory).absolute()
        losses = Losses(layout=Layout(directory), events=EventLog(Layout(directory)), limit=2 * SUSPECT)
        again: list[BlockTask] = []
        waiting = iter(tasks)
        n_fruitless = 0
        while not control.must_stop():
            with LaunchedWorld(self.launch, directory) as world:
                n_before = world.n_answers
                yield from _feed(world, waiting, again, losses, control)
                if not world.flying and not world.is_dead:
                    return
                if control.cancel.is_set():
                    return
                reason = world.last_words()
                is_fruitful = losses.tells_more(world.flying) or world.n_answers > n_before
                n_fruitless = 0 if is_fruitful else n_fruitless + 1
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
    world: LaunchedWorld, waiting: Iterator[BlockTask], again: list[BlockTask], losses: Losses, control: Control
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


def _next(
    world: LaunchedWorld, waiting: Iterator[BlockTask], again: list[BlockTask], losses: Losses
) -> BlockTask | None:
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
