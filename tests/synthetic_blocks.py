"""Blocks that are cheap and misbehave on request: what executors are tested with. Imported by worker processes.

A block writes one line to `log/<stage>-<block>` each time that it runs, and a result file once. Its stage says how it
behaves.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from dataclasses import asdict
from pathlib import Path

from campaign.errors import Unavailable
from campaign.execute.base import Control, Receipt
from campaign.execute.remote import Unfit
from campaign.store.atomic import publish_bytes
from campaign.store.events import EventLog
from campaign.store.layout import BlockTask, Layout
from campaign.store.records import dumps
from campaign.store.summaries import publish_block
from campaign.work.jax_runtime import worker_name

WORK = "synthetic_blocks:work"


def work(directory: str, task: BlockTask, control: Control) -> Receipt:
    """Behave as `task.stage` says: fine, short, slow, dies-once, dies, leaves, exits, raises, full, …; with `summaries`
    in its name it publishes summaries and journals them, as real blocks do."""
    root = Path(directory)
    done = root / "done" / f"{task.stage}-{task.block:06d}"
    if done.exists():
        return Receipt(task=task, state="already", worker=worker_name())
    times = executions(root, task.stage, task.block)
    _note(root, task)
    if "summaries" in task.stage:
        with EventLog(Layout(root)) as events:
            events.append("block_started", stage=task.stage, part=task.part, block=task.block)
    if "short" in task.stage:
        time.sleep(0.3)
    if "poison" in task.stage and task.block == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    if "leaves" in task.stage and task.block == 4:
        os._exit(0)  # as a Fortran STOP
    if "ends-job" in task.stage and task.block == 4:  # as SLURM does for want of memory
        os.kill(os.getppid(), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)
    if task.stage == "slow":
        for _ in range(200):
            time.sleep(0.05)
            if control.must_stop():
                return Receipt(task=task, state="interrupted", worker=worker_name())
    if task.stage == "dies" or (task.stage == "dies-once" and times == 0 and task.block % 5 == 0):
        os.kill(os.getpid(), signal.SIGKILL)
    if task.stage == "exits":
        sys.exit(3)
    if task.stage == "raises":
        raise RuntimeError("the plug-in is broken")
    if task.stage == "full":
        raise Unavailable("no space left")
    publish_bytes(done, worker_name().encode(), durable=False)
    if "summaries" in task.stage:
        publish_block(Layout(root), task.stage, task.part, task.block, [dumps({"run_id": f"{task.block:032x}"})])
    return Receipt(task=task, state="published", n_ok=task.block, worker=worker_name())


def unfit_on_node1(directory: str, task: BlockTask, control: Control) -> Receipt:
    """As `work`, but that one node cannot do it."""
    if os.environ.get("SLURMD_NODENAME") == "node1":
        raise Unfit("node1 has no GPU")
    return work(directory, task, control)


def environment(directory: str, task: BlockTask, control: Control) -> Receipt:
    """Say what this worker process may use; waits until as many workers as the stage's name says have come."""
    names = ("OMP_NUM_THREADS", "PJRT_NPROC", "CUDA_VISIBLE_DEVICES", "CAMPAIGN_DEVICE")
    message = " ".join(f"{name}={os.environ.get(name)}" for name in names)
    seen = Path(directory) / "seen"
    seen.mkdir(exist_ok=True)
    (seen / worker_name()).touch()
    until = time.monotonic() + 100
    while len(list(seen.iterdir())) < int(task.stage) and time.monotonic() < until:
        time.sleep(0.05)
    return Receipt(task=task, state="published", message=message, worker=worker_name())


def _note(root: Path, task: BlockTask) -> None:
    log = root / "log" / f"{task.stage}-{task.block:06d}"
    log.parent.mkdir(exist_ok=True)
    with log.open("a") as file:
        file.write(worker_name() + "\n")


def executions(root: Path, stage: str, block: int) -> int:
    """How often a block has begun."""
    log = root / "log" / f"{stage}-{block:06d}"
    return len(log.read_text().splitlines()) if log.exists() else 0


def tasks(stage: str, n: int) -> list[BlockTask]:
    return [BlockTask(stage=stage, part=0, block=i) for i in range(n)]


def forge(directory: str, task: BlockTask, control: Control) -> Receipt:
    """Print what looks like the receipt of another block, with and without a token."""
    lie = json.dumps({"receipt": asdict(Receipt(task=BlockTask(task.stage, 0, 99), state="published", n_ok=10**6))})
    for line in (lie, f"0123456789abcdef {lie}"):
        sys.stdout.write(line + "\n")
    sys.stdout.flush()
    return Receipt(task=task, state="published", n_ok=1, worker=worker_name())
