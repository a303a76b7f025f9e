"""Inside an MPI world: rank 0 hands blocks out, the other ranks run them.

Started by `MpiExecutor` as ``mpiexec -n N+1 python -m campaign.execute.mpi.world``. Rank 0 reads its orders from
standard input, one JSON object a line (the first is a `Charter`), and answers on standard output; each answer begins
with the charter's token, because other ranks' output arrives in the same stream.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from campaign.execute.base import Receipt
from campaign.execute.devices import ANY, device_environment, gpu_environment, thread_environment, visible_gpus
from campaign.execute.mpi.shared_memory import forget_the_dead
from campaign.execute.remote import RUN_BLOCK, run_remote
from campaign.store.layout import BlockTask

EXPECTED_SIZE = "CAMPAIGN_MPI_SIZE"  # environment of all ranks
SETTINGS = "CAMPAIGN_MPI_SETTINGS"  # environment of all ranks: JSON of `RankSettings`
DESERTED = 87  # exit code of a world whose driver has been killed
WRONG_LAUNCHER = 86  # exit code of a rank that finds itself in a world of another size


@dataclass(frozen=True, slots=True, kw_only=True)
class RankSettings:
    """What each rank sets up before JAX starts."""

    threads: int = 1
    workers_per_gpu: int = 1
    device: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Charter:
    """What rank 0 is told first."""

    token: str
    directory: str
    work: str = RUN_BLOCK
    sys_path: Sequence[str] = field(default_factory=tuple)

    def line(self) -> str:
        return json.dumps(asdict(self)) + "\n"


def encode_task(task: BlockTask, deadline: float | None) -> str:
    """One order."""
    return json.dumps([task.stage, task.part, task.block, deadline]) + "\n"


def encode_receipt(token: str, receipt: Receipt) -> str:
    """One answer: a receipt."""
    return f"{token} {json.dumps({'receipt': asdict(receipt)})}\n"


def decode_receipt(fields: dict[str, Any]) -> Receipt:
    """The receipt of an answer."""
    return Receipt(**{**fields, "task": BlockTask(**fields["task"])})


def main() -> None:
    """Entry of every rank."""
    forget_the_dead()
    from mpi4py import MPI

    world = MPI.COMM_WORLD
    expected = int(os.environ[EXPECTED_SIZE])
    if world.size != expected:
        sys.stdout.write(f"wrong launcher: this process sees {world.size} MPI ranks, {expected} were asked for\n")
        sys.stdout.flush()
        os._exit(WRONG_LAUNCHER)
    set_up_rank(world, RankSettings(**json.loads(os.environ.get(SETTINGS, "{}"))))
    charter = Charter(**json.loads(sys.stdin.readline())) if world.rank == 0 else None
    charter = world.bcast(charter, root=0)
    sys.path.extend(p for p in charter.sys_path if p not in sys.path)
    if world.rank:
        from campaign.execute.dask.nursery import (
            preload,  # which imports asyncio: not for a driver that only looks in here
        )

        preload()
    with rank_pool(world) as pool:
        if pool is not None:
            _dispatch(pool, charter)
    sys.stdout.flush()


def rank_pool(world: Any) -> Any:
    """Context manager: a `concurrent.futures` pool on rank 0; None elsewhere, after having served."""
    from mpi4py.futures import MPICommExecutor

    return MPICommExecutor(world, root=0)


def set_up_rank(world: Any, settings: RankSettings) -> None:
    """Threads and the GPU of this rank; rank 0 computes nothing and takes none."""
    from mpi4py import MPI

    from campaign.execute.stopping import note_end_time, stop_on_signals

    note_end_time()
    ranks = world.Split_type(MPI.COMM_TYPE_SHARED).allgather(world.rank)
    if world.rank == 0:
        return
    stop_on_signals()
    environment = thread_environment(settings.threads)
    gpus = () if settings.device == "cpu" else visible_gpus()
    if gpus:
        place = [r for r in ranks if r > 0].index(world.rank)
        environment |= gpu_environment(gpus[place // settings.workers_per_gpu % len(gpus)], settings.workers_per_gpu)
    environment |= device_environment(settings.device or ("gpu" if gpus else ANY))
    os.environ.update(environment)


def _dispatch(pool: Any, charter: Charter) -> None:
    """Pass orders on until the input ends; the answers go out as they come.

    A driver closes the input when it has all its answers. If it ends before, the driver was killed: the world ends with
    it, so that the next driver's workers have the campaign to themselves.
    """
    lock = threading.Lock()
    futures: set[Any] = set()

    def answer(task: BlockTask, future: Any) -> None:
        error = future.exception()
        if error is None:
            line = encode_receipt(charter.token, future.result())
        else:
            line = f"{charter.token} {json.dumps({'task': asdict(task), 'error': _describe(error)})}\n"
        with lock, contextlib.suppress(BrokenPipeError):  # nobody listens any more: the input ends as well
            sys.stdout.write(line)
            sys.stdout.flush()
        futures.discard(future)

    sys.stdout.write(f"{charter.token} {json.dumps({'ready': pool.num_workers})}\n")
    sys.stdout.flush()
    for line in sys.stdin:
        stage, part, block, deadline = json.loads(line)
        task = BlockTask(stage=stage, part=part, block=block)
        future = pool.submit(run_remote, charter.directory, task, deadline, charter.work)
        futures.add(future)
        future.add_done_callback(lambda done, task=task: answer(task, done))
    if futures:
        from mpi4py import MPI

        MPI.COMM_WORLD.Abort(DESERTED)


def _describe(error: BaseException) -> dict[str, Any]:
    """An exception as JSON: its class, its text, and the exit code that it asks for."""
    return {
        "kind": type(error).__name__,
        "text": str(error),
        "exit_code": getattr(error, "exit_code", 1),
    }


if __name__ == "__main__":
    main()
