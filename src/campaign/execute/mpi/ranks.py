"""The MPI world that this very process was started in: ``mpiexec -n 5 campaign submit … --executor mpi``.

Rank 0 is the driver; the others serve. They part ways before anything else happens: `part_ways`.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from campaign.errors import Unavailable
from campaign.execute.base import AbstractExecutor, Control, Receipt
from campaign.execute.mpi.launcher import world_rank
from campaign.execute.mpi.shared_memory import forget_the_dead
from campaign.execute.mpi.world import SETTINGS, RankSettings, rank_pool, set_up_rank
from campaign.execute.remote import RUN_BLOCK, run_remote
from campaign.execute.window import run_window
from campaign.store.layout import BlockTask

_BEGUN = "begun"  # set once rank 0 has opened its pool
_TAG = 7  # of the message that says whether a rank is needed
_state: dict[str, bool] = {}


def part_ways(executor: str) -> None:
    """In an MPI world, with executor `mpi`: ranks other than 0 serve here until the driver is done, and exit.

    Called before a driver reads or writes anything. Returns at once everywhere else.

    Raises:
        SystemExit: on ranks that served.
        Unavailable: the launcher belongs to another MPI: every process believes to be alone.
    """
    found = world_rank()
    if executor != "mpi" or found is None or _state:
        return
    rank, size = found
    world = _world(size)
    set_up_rank(world, RankSettings(**json.loads(os.environ.get(SETTINGS, "{}"))))
    if rank == 0:
        _state[_BEGUN] = False
        atexit.register(_release)
        return
    while not world.iprobe(source=0, tag=_TAG):  # a blocking receive would keep a processor busy
        time.sleep(0.01)
    if world.recv(source=0, tag=_TAG):
        with rank_pool(world):
            pass
    sys.stdout.flush()
    raise SystemExit(0)


def _world(size: int) -> Any:
    forget_the_dead()
    from mpi4py import MPI

    if MPI.COMM_WORLD.size != size:
        raise Unavailable(
            f"the launcher started {size} processes, and MPI sees {MPI.COMM_WORLD.size} in this one's world",
            hint="use the `mpiexec` (or `srun --mpi=…`) that belongs to the MPI library of mpi4py",
        )
    return MPI.COMM_WORLD


def _release() -> None:
    """Let the other ranks go when the driver ended without ever needing them."""
    if not _state[_BEGUN]:
        _tell_all(needed=False)


def _tell_all(*, needed: bool) -> None:
    from mpi4py import MPI

    for rank in range(1, MPI.COMM_WORLD.size):
        MPI.COMM_WORLD.send(needed, dest=rank, tag=_TAG)


class RankExecutor(AbstractExecutor):
    """The ranks beside this one."""

    name = "mpi"

    def __init__(self, *, work: str = RUN_BLOCK) -> None:
        """Args:
        work: ``"module:function"`` that ranks call.
        """
        self.work = work
        self._stack = contextlib.ExitStack()
        self._pool: Any = None

    def __enter__(self) -> RankExecutor:
        from mpi4py import MPI

        if _state.get(_BEGUN):
            raise Unavailable("the ranks of this MPI world have already been released", hint="start a new world")
        _state[_BEGUN] = True
        _tell_all(needed=True)
        self._pool = self._stack.enter_context(rank_pool(MPI.COMM_WORLD))
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def run(self, directory: Path, tasks: Iterable[BlockTask], control: Control) -> Iterator[Receipt]:
        directory = Path(directory).absolute()
        yield from run_window(
            lambda task: self._pool.submit(run_remote, str(directory), task, control.deadline, self.work),
            directory,
            tasks,
            control,
            n_workers=lambda: self._pool.num_workers,
        )
