"""A real SLURM on loopback: arrays, pilots, requeues, what happens when something is wrong, GPUs."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from campaign.errors import Unavailable
from campaign.execute.base import Control
from campaign.execute.mpi.pool import MpiExecutor
from campaign.execute.pilots.executor import PilotExecutor
from campaign.execute.queue.array import ArrayExecutor
from campaign.execute.queue.array_plan import load_array
from campaign.execute.queue.profiles import Profile, load_profile
from campaign.store.events import read_events
from campaign.store.layout import Layout
from campaign.store.stop import DRAIN, request_stop
from dashboard_pages import other_addresses, page_status
from synthetic_blocks import WORK, executions, tasks

pytestmark = [pytest.mark.slurm, pytest.mark.usefixtures("slurm")]
TESTS = str(Path(__file__).parents[1])


def profile(**changes) -> Profile:
    base = load_profile("loopback").model_dump()
    worker = base["worker"] | changes.pop("worker", {})
    path = os.pathsep.join([TESTS, *(p for p in sys.path if p)])
    prologue = [f"export PYTHONPATH={shlex.quote(path)} CAMPAIGN_CACHE=/tmp/campaign-test-cache"]
    return Profile(**{**base, "prologue": prologue, **changes, "worker": worker})


def collect(executor, directory: Path, stage: str, n: int, control: Control | None = None):
    with executor as running:
        return list(running.run(directory, tasks(stage, n), control or Control()))


def pilots(**changes) -> PilotExecutor:
    return PilotExecutor(profile(**changes), work=WORK, queue_s=1.0)


def array(**changes) -> ArrayExecutor:
    return ArrayExecutor(profile(**changes), work=WORK)


def wait_for(condition, seconds: float = 90.0):
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.1)
    return found


def done_blocks(directory: Path) -> int:
    return len(list(directory.glob("done/*")))


# --- pilots -----------------------------------------------------------------------------------------------------------


def test_pilots_run_every_block_once_and_leave_nothing_in_the_queue(slurm, tmp_path):
    receipts = collect(pilots(), tmp_path, "fine", 60)
    assert sorted(r.task.block for r in receipts) == list(range(60))
    assert Counter(executions(tmp_path, "fine", i) for i in range(60)) == {1: 60}
    wait_for(lambda: not slurm.jobs())
    assert not list((tmp_path / "lock").glob("pilots-*"))


def test_a_pilot_that_is_cancelled_is_replaced_and_its_blocks_run_elsewhere(slurm, tmp_path):
    executor = pilots(max_jobs=1, worker={"workers": 1})
    cancelled = []

    def cancel():
        wait_for(lambda: done_blocks(tmp_path) >= 3)
        cancelled.extend(slurm.jobs())
        slurm.call("scancel", *cancelled)

    thread = threading.Thread(target=cancel)
    thread.start()
    receipts = collect(executor, tmp_path, "short", 40)
    thread.join()
    assert len(cancelled) == 1
    assert {r.state for r in receipts} <= {"published", "already"}
    assert done_blocks(tmp_path) == 40
    assert executor._keeper.n_replaced >= 1


DRIVER = """
import sys; sys.path[:0] = {path!r}
from pathlib import Path
from campaign.execute.base import Control
from campaign.execute.pilots.executor import PilotExecutor
from campaign.execute.queue.profiles import Profile
from synthetic_blocks import WORK, tasks
with PilotExecutor(Profile(**{profile!r}), scheduler="job", queue_s=1.0, work=WORK) as running:
    list(running.run(Path({directory!r}), tasks("short", 80), Control()))
"""


def test_a_driver_comes_back_to_the_scheduler_and_the_pilots_of_a_dead_one(slurm, tmp_path):
    script, cluster = tmp_path / "driver.py", profile(max_jobs=2, worker={"memory_mb": 400})
    path = [TESTS, *(p for p in sys.path if p)]
    script.write_text(DRIVER.format(path=path, profile=cluster.model_dump(), directory=str(tmp_path)))
    driver = subprocess.Popen([sys.executable, str(script)])
    wait_for(lambda: done_blocks(tmp_path) >= 8)
    driver.kill()
    driver.wait()
    before = set(slurm.jobs())
    assert len(before) == 3  # the scheduler and two pilots, all alive
    running = PilotExecutor(cluster, scheduler="job", queue_s=1.0, work=WORK)
    receipts = collect(running, tmp_path, "short", 80)
    assert sorted(r.task.block for r in receipts) == list(range(80))
    assert running._keeper.n_submitted == 2  # none was submitted anew
    assert sum(executions(tmp_path, "short", i) for i in range(80)) <= 84  # at most those under way ran twice
    wait_for(lambda: not slurm.jobs())
    assert not list((tmp_path / "lock").glob("pilots-*"))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"python": "/no/such/python"}, "/no/such/python"),
        ({"prologue": ["export PYTHONPATH=", "cd /", "unset PYTHONPATH"], "python": "/usr/bin/python3"}, "campaign"),
        ({"partition": "nonesuch"}, "invalid partition name"),
        ({"worker": {"directives": ["--exclusive=maybe"]}}, "exclusive"),
    ],
    ids=["wrong-python", "missing-module", "wrong-partition", "wrong-directive"],
)
@pytest.mark.parametrize("kind", [pilots, array])
def test_workers_that_cannot_start_give_the_reason(slurm, tmp_path, kind, changes, text):
    with pytest.raises(Unavailable) as caught:
        collect(kind(**changes), tmp_path, "fine", 4)
    assert text in str(caught.value).lower()
    assert caught.value.exit_code == 6
    wait_for(lambda: not slurm.jobs())


def test_a_job_that_can_never_start_is_an_error_and_not_a_wait(slurm, tmp_path):
    with pytest.raises(Unavailable):
        collect(array(worker={"gpus": 3}), tmp_path, "fine", 4)
    wait_for(lambda: not slurm.jobs())


@pytest.mark.parametrize("kind", ["array", "pilots", "scheduler"])
def test_who_waits_in_the_queue_says_why_and_can_be_stopped(slurm, tmp_path, caplog, kind):
    slurm.call("scontrol", "update", "partitionname=main", "state=down")
    try:
        control, place = Control(), "job" if kind == "scheduler" else "driver"
        waiting = array() if kind == "array" else PilotExecutor(profile(), scheduler=place, queue_s=1.0, work=WORK)

        def drain():
            wait_for(lambda: "PartitionDown" in caplog.text, 60)
            control.drain.set()

        thread = threading.Thread(target=drain)
        thread.start()
        assert collect(waiting, tmp_path, "fine", 4, control) == []
        thread.join()
    finally:
        slurm.call("scontrol", "update", "partitionname=main", "state=up")
    wait_for(lambda: not slurm.jobs())
    assert not list((tmp_path / "lock").glob("pilots-*"))


def test_keys_of_the_scheduler_are_for_the_owner_alone(slurm, tmp_path):
    enter = "import sys; from distributed import Client; Client(sys.argv[1], timeout=5); print('entered')"
    seen = {"entered": ""}

    def look():
        file = wait_for(lambda: list((tmp_path / "lock").glob("pilots-*.json")))[0]
        seen["mode"] = file.stat().st_mode & 0o777
        seen["as nobody"] = subprocess.run(["cat", str(file)], user="nobody", capture_output=True).returncode
        seen["address"] = address = json.loads(file.read_text())["scheduler"]
        for stranger in (address, address.replace("tls://", "tcp://")):
            done = subprocess.run([sys.executable, "-c", enter, stranger], capture_output=True, text=True, timeout=60)
            seen["entered"] += done.stdout
            seen["refused"] = done.stderr

    thread = threading.Thread(target=look)
    thread.start()
    collect(pilots(), tmp_path, "short", 40)
    thread.join()
    assert seen["mode"] == 0o600
    assert seen["as nobody"] != 0
    assert seen["address"].startswith("tls://")
    assert seen["entered"] == ""
    assert "Error" in seen["refused"]


def test_the_dashboard_of_a_scheduler_in_a_job_is_on_its_loopback_and_the_driver_says_where(slurm, tmp_path, caplog):
    seen = {}

    def look():
        wait_for(lambda: done_blocks(tmp_path) >= 3)
        (file,) = (tmp_path / "lock").glob("pilots-*.json")
        seen["port"] = port = int(json.loads(file.read_text())["dashboard"].rpartition(":")[2])
        seen["here"] = page_status(port)
        seen["elsewhere"] = {page_status(port, host=address) for address in other_addresses()}

    thread = threading.Thread(target=look)
    thread.start()
    collect(PilotExecutor(profile(), scheduler="job", dashboard=True, work=WORK, queue_s=1.0), tmp_path, "short", 40)
    thread.join()
    assert (seen["here"], seen["elsewhere"]) == (200, {None})
    assert f"http://localhost:{seen['port']}/status" in caplog.text


# --- arrays -----------------------------------------------------------------------------------------------------------


def test_an_array_runs_every_block_once(slurm, tmp_path):
    receipts = collect(array(), tmp_path, "summaries", 30)
    assert sorted(r.task.block for r in receipts) == list(range(30))
    assert Counter(executions(tmp_path, "summaries", i) for i in range(30)) == {1: 30}
    wait_for(lambda: not slurm.jobs())


def test_what_a_cancelled_array_task_left_is_submitted_again(slurm, tmp_path):
    def cancel():
        wait_for(lambda: done_blocks(tmp_path) >= 3)
        slurm.call("scancel", f"{load_array(Layout(tmp_path)).job}_0")

    thread = threading.Thread(target=cancel)
    thread.start()
    receipts = collect(array(), tmp_path, "summaries-short", 60)
    thread.join()
    assert sorted(r.task.block for r in receipts) == list(range(60))
    assert {r.state for r in receipts} == {"published"}


def test_a_node_that_cannot_do_the_work_is_avoided_by_the_next_array(slurm, tmp_path):
    running = ArrayExecutor(
        profile(max_jobs=3, worker={"cpus": 2, "workers": 2}), work="synthetic_blocks:unfit_on_node1"
    )
    receipts = collect(running, tmp_path, "summaries-short", 30)
    assert sorted(r.task.block for r in receipts) == list(range(30))
    assert running.avoided == ["node1"]
    last = slurm.call("scontrol", "show", "job", "-o", load_array(Layout(tmp_path)).job)
    assert "ExcNodeList=node1 " in last
    assert " NodeList=node1 " not in last


def test_a_requeued_array_task_goes_on_where_it_was(slurm, tmp_path):
    def requeue():
        wait_for(lambda: done_blocks(tmp_path) >= 3)
        job = f"{load_array(Layout(tmp_path)).job}_0"
        slurm.call("scontrol", "requeue", job)
        wait_for(lambda: "PENDING" in slurm.call("squeue", "-h", "-j", job, "-o", "%T", check=False))
        time.sleep(1.0)
        slurm.call("scontrol", "update", f"jobid={job}", "StartTime=now", check=False)

    thread = threading.Thread(target=requeue)
    thread.start()
    receipts = collect(array(max_jobs=1), tmp_path, "summaries-short", 60)
    thread.join()
    assert len(receipts) == 60
    assert sum(executions(tmp_path, "summaries-short", i) for i in range(60)) <= 62  # those under way ran again


def test_a_second_driver_adopts_the_array_of_a_dead_one(slurm, tmp_path):
    script = tmp_path / "driver.py"
    script.write_text(
        f"import sys; sys.path[:0] = {[TESTS, *(p for p in sys.path if p)]!r}\n"
        "from pathlib import Path\nfrom campaign.execute.queue.array import ArrayExecutor\n"
        "from campaign.execute.base import Control\nfrom campaign.execute.queue.profiles import Profile\n"
        "from synthetic_blocks import WORK, tasks\n"
        f"executor = ArrayExecutor(Profile(**{profile().model_dump()!r}), work=WORK)\n"
        f"list(executor.run(Path({str(tmp_path)!r}), tasks('summaries-short', 60), Control()))\n"
    )
    driver = subprocess.Popen([sys.executable, str(script)])
    wait_for(lambda: done_blocks(tmp_path) >= 3)
    driver.kill()
    driver.wait()
    job = load_array(Layout(tmp_path)).job
    receipts = collect(array(), tmp_path, "summaries-short", 60)
    assert load_array(Layout(tmp_path)).job == job
    assert len(receipts) == 60
    assert Counter(executions(tmp_path, "summaries-short", i) for i in range(60)) == {1: 60}


def test_a_block_that_kills_its_worker_is_given_up_and_the_others_are_done(slurm, tmp_path):
    receipts = collect(array(max_jobs=1), tmp_path, "summaries-poison", 10)
    states = {r.task.block: r.state for r in receipts}
    assert states == {i: "lost" if i == 4 else "published" for i in range(10)}
    assert executions(tmp_path, "summaries-poison", 4) == 4


@pytest.mark.parametrize("stage", ["summaries-leaves", "summaries-ends-job"])
def test_a_block_that_ends_its_process_or_its_whole_job_is_given_up_and_the_others_are_done(slurm, tmp_path, stage):
    receipts = collect(array(max_jobs=1, worker={"workers": 1}), tmp_path, stage, 7)
    assert {r.task.block: r.state for r in receipts} == {i: "lost" if i == 4 else "published" for i in range(7)}
    assert executions(tmp_path, stage, 4) == 4
    assert next(r.message for r in receipts if r.state == "lost").startswith("lost 4 times, the last time: its ")
    wait_for(lambda: not slurm.jobs())


def test_an_array_and_its_driver_go_on_while_the_controller_is_away(slurm, tmp_path, caplog):
    def away():
        wait_for(lambda: done_blocks(tmp_path) >= 3)
        os.kill(int((slurm.folder / "run" / "slurmctld.pid").read_text()), 9)
        wait_for(lambda: "waiting for it; running jobs continue" in caplog.text, 120)
        slurm.up()

    thread = threading.Thread(target=away)
    thread.start()
    try:
        receipts = collect(array(max_jobs=1), tmp_path, "summaries-short", 60)
    finally:
        thread.join()
    assert sorted(r.task.block for r in receipts) == list(range(60))
    wait_for(lambda: not slurm.jobs())


def test_a_drain_on_disk_empties_the_queue(slurm, tmp_path):
    control = Control()

    def drain():
        wait_for(lambda: list(tmp_path.glob("log/*")))
        request_stop(Layout(tmp_path), DRAIN, "test")
        control.drain.set()

    thread = threading.Thread(target=drain)
    thread.start()
    started = time.monotonic()
    collect(array(), tmp_path, "slow", 30, control)
    thread.join()
    assert time.monotonic() - started < 100  # thirty blocks of 10 s on six workers take 50 s at least: none finished
    assert done_blocks(tmp_path) == 0
    wait_for(lambda: not slurm.jobs())


# --- MPI under srun, GPUs ---------------------------------------------------------------------------------------------


@pytest.mark.mpi
def test_mpi_under_srun_survives_a_rank(slurm, mpi, tmp_path, monkeypatch):
    command = ["srun", "--kill-on-bad-exit=1", "--mpi=pmi2", "--input=0", "-N2", "--ntasks={n}", "--mem-per-cpu=500"]
    with MpiExecutor(workers=3, device="cpu", launcher=command, work=WORK) as running:
        receipts = list(running.run(tmp_path, tasks("dies-once", 6), Control()))
    assert sorted(r.task.block for r in receipts) == list(range(6))
    assert any(e["event"] == "block_lost" for e in read_events(Layout(tmp_path)))


@pytest.mark.parametrize(("sharers", "workers"), [(1, 2), (2, 4)])
def test_four_gpus_on_two_nodes_are_used_each_by_its_workers(slurm, tmp_path, sharers, workers):
    shape = {"workers": workers, "gpus": 2, "workers_per_gpu": sharers, "memory_mb": 300}
    executor = PilotExecutor(
        profile(device="any", max_jobs=2, worker=shape), work="synthetic_blocks:environment", queue_s=1.0
    )
    receipts = collect(executor, tmp_path, str(2 * workers), 6 * workers)
    by_worker = {r.worker: r.message.split("CUDA_VISIBLE_DEVICES=")[1].split()[0] for r in receipts}
    assert len(by_worker) == 2 * workers
    assert Counter(by_worker.values()) == {"0": workers, "1": workers}
