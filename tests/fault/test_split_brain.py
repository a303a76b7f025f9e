"""A node is cut off while its job is started again elsewhere: two processes hold one share of a job array at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from campaign.execute.queue.array_plan import ArrayPlan
from campaign.store.layout import Layout
from campaign.store.summaries import published
from synthetic_blocks import WORK, executions

STAGE, N = "summaries-short", 12
TESTS = str(Path(__file__).parents[1])


def plan(directory: Path) -> ArrayPlan:
    array = ArrayPlan(
        token="ab",
        stage=STAGE,
        blocks=[(0, i) for i in range(N)],
        n_jobs=1,
        workers=1,
        settings={"threads": 1, "workers_per_gpu": 1, "device": "any"},
        job="1",
        work=WORK,
        sys_path=[TESTS],
    )
    array.save(Layout(directory))
    return array


def start(directory: Path) -> subprocess.Popen[bytes]:
    """The process of an array task, as SLURM would start it."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("SLURM_")}
    environment |= {"CAMPAIGN_ARRAY": "ab", "SLURM_ARRAY_TASK_ID": "0", "SLURM_ARRAY_JOB_ID": "1"}
    return subprocess.Popen([sys.executable, "-m", "campaign.execute.queue.share", str(directory)], env=environment)


def wait_for(condition, seconds: float = 90.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.05)


def test_twins_do_no_block_twice(tmp_path):
    plan(tmp_path)
    twins = [start(tmp_path), start(tmp_path)]
    assert [twin.wait(timeout=120) for twin in twins] == [0, 0]
    assert len(published(Layout(tmp_path), STAGE)) == N
    assert Counter(executions(tmp_path, STAGE, i) for i in range(N)) == {1: N}


def test_the_second_takes_over_when_the_first_is_killed(tmp_path):
    plan(tmp_path)
    first = start(tmp_path)
    wait_for(lambda: len(published(Layout(tmp_path), STAGE)) >= 2)
    second = start(tmp_path)
    os.kill(first.pid, signal.SIGKILL)  # its worker goes on alone, as on a node that was cut off
    first.wait()
    assert second.wait(timeout=120) == 0
    assert len(published(Layout(tmp_path), STAGE)) == N
    assert Counter(executions(tmp_path, STAGE, i) for i in range(N)) == {1: N}


def test_a_task_of_an_array_that_was_replaced_does_nothing(tmp_path):
    array = plan(tmp_path)
    ArrayPlan(**{name: getattr(array, name) for name in array.__slots__} | {"token": "cd"}).save(Layout(tmp_path))
    assert start(tmp_path).wait(timeout=120) == 0
    assert published(Layout(tmp_path), STAGE) == set()
