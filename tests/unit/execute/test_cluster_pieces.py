"""What can be said of clusters without one: profiles, scripts, launchers, devices, the keeper, shares, losses."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import Future
from pathlib import Path

import pytest
from pydantic import ValidationError

from campaign.drive.detach import wants_job
from campaign.errors import InvalidValue, Unavailable, UnknownName
from campaign.execute.base import Control
from campaign.execute.catalogue import cluster_profile, make_executor
from campaign.execute.dask.dashboard import say_dashboard
from campaign.execute.devices import device_environment, visible_gpus, worker_environments
from campaign.execute.dry_run import dry_run
from campaign.execute.losses import Losses
from campaign.execute.pilots.keeper import Keeper
from campaign.execute.queue import slurm as slurm_queue
from campaign.execute.queue.array_plan import ArrayPlan, load_array
from campaign.execute.queue.others import states
from campaign.execute.queue.profiles import Profile, load_profile, profile_names
from campaign.execute.queue.scripts import duration
from campaign.execute.queue.slurm import JobState
from campaign.execute.remote import run_remote
from campaign.execute.scratch import scratch
from campaign.execute.stopping import END_TIME, MARGIN_S, worker_control
from campaign.execute.talk import QueueTalk
from campaign.execute.window import run_window
from campaign.manifest.model import Execution
from campaign.store.events import EventLog, read_events
from campaign.store.layout import BlockTask, Layout
from campaign.store.stop import DRAIN, clear_stop, request_stop
from synthetic_blocks import WORK, executions

TASKS = [BlockTask("fit", 0, i) for i in range(10)]


# --- profiles and scripts ---------------------------------------------------------------------------------------------


def test_every_shipped_profile_can_be_read():
    assert {"juwels-booster", "loopback", "lumi-g", "perlmutter-gpu"} <= set(profile_names())
    assert load_profile("perlmutter-gpu").worker.gpus == 4
    assert load_profile("lumi-g").worker.workers == 8


def test_a_wrong_profile_says_where_and_what(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text('partition = "main"\n[worker]\nworkerz = 3\n')
    with pytest.raises(InvalidValue, match=r"mine\.toml, `worker\.workerz`: unknown key.*did you mean `workers`"):
        load_profile(str(file))
    with pytest.raises(UnknownName, match=r"no profile file .*other\.toml.*`loopback`"):
        load_profile(str(tmp_path / "other.toml"))
    file.write_text("partition = ")
    with pytest.raises(InvalidValue, match="not TOML"):
        load_profile(str(file))
    with pytest.raises(UnknownName, match="did you mean `loopback`"):
        load_profile("loopbac")
    with pytest.raises(ValidationError):
        Profile(worker={"workers": 0})


@pytest.mark.parametrize(
    ("seconds", "text"), [(60, "0-00:01:00"), (61, "0-00:02:00"), (86400, "1-00:00:00"), (90061, "1-01:02:00")]
)
def test_durations_are_whole_minutes_and_never_shorter(seconds, text):
    assert duration(seconds) == text


def test_a_dry_run_of_an_array_is_the_script_word_for_word(tmp_path):
    execution = Execution(executor="slurm-array", profile="perlmutter-gpu", walltime_s=1800)
    text = dry_run(execution, tmp_path, "fit", 10)
    lines = text.splitlines()
    assert lines[0] == "# sbatch: 3 tasks x 4 workers, 10 blocks"  # ten blocks keep three jobs of four busy
    wanted = ["--time=0-00:30:00", "--requeue", "--gres=gpu:4", "--array=0-2", "--constraint=gpu", "--account=m0000_g"]
    assert {f"#SBATCH {w}" for w in wanted} <= set(lines)
    assert lines[-1].endswith(f"-m campaign.execute.queue.share {tmp_path}")
    assert lines[-1].startswith("exec env CAMPAIGN_ARRAY=")
    assert not list(tmp_path.iterdir())


def test_a_dry_run_of_pilots_names_the_keeper_and_hides_no_key(tmp_path):
    text = dry_run(Execution(executor="dask-slurm", profile="loopback"), tmp_path, "fit", 10)
    assert text.startswith("# sbatch: 3 jobs like this")
    assert "campaign.execute.pilots.pilot tls://ADDRESS:PORT" in text
    assert "CAMPAIGN_PILOT_NAME=pilot-00000000-1" in text
    assert "BEGIN" not in text


def test_a_dry_run_shows_the_job_of_the_scheduler_and_finds_a_wrong_option(tmp_path):
    options = {"scheduler": "job", "dashboard": True}
    text = dry_run(Execution(executor="dask-slurm", profile="loopback", options=options), tmp_path, "fit", 10)
    assert text.startswith("# sbatch: the scheduler\n#!/bin/bash\n#SBATCH --job-name=campaign-scheduler-00000000\n")
    assert (
        f"campaign.execute.pilots.scheduler_job {Layout(tmp_path).pilots('0' * 8)} dashboard\n# sbatch: 3 jobs" in text
    )
    for executor in ("dask-slurm", "slurm-array", "inline"):
        with pytest.raises(InvalidValue, match="/execution/options/schedular"):
            dry_run(Execution(executor=executor, profile="loopback", options={"schedular": "job"}), tmp_path, "fit", 10)


@pytest.mark.parametrize("system", ["pbs", "lsf", "sge"])
def test_other_queueing_systems_get_their_own_directives(tmp_path, system):
    from campaign.execute.pilots.jobs import pilot_job

    marks = {"pbs": "#PBS", "lsf": "#BSUB", "sge": "#$"}
    profile = Profile(system=system, partition="short", worker={"workers": 2, "cpus": 3, "memory_mb": 500})
    script = pilot_job(profile, "tls://a:1", "pilot1", tmp_path / "f", tmp_path).job_script()
    assert f"{marks[system]} -" in script
    assert "-m campaign.execute.pilots.pilot tls://a:1" in script


def test_an_executor_without_its_profile_and_an_unknown_one():
    with pytest.raises(InvalidValue, match=r"needs a cluster profile.*`loopback`"):
        cluster_profile(Execution(executor="slurm-array"))
    with pytest.raises(UnknownName, match="did you mean `dask-slurm`"):
        make_executor(Execution(executor="dask-slrum"))
    with pytest.raises(InvalidValue, match="did you mean `workers_per_gpu`"):
        make_executor(Execution(executor="dask", options={"workers_per_gpus": 2}))


def test_what_only_slurm_can_do_is_not_tried_elsewhere(tmp_path):
    file = tmp_path / "site.toml"
    file.write_text('system = "pbs"\n')
    with pytest.raises(InvalidValue, match=r"`slurm-array` with the profile .*`pbs`; valid: `slurm`"):
        make_executor(Execution(executor="slurm-array", profile=str(file)))
    assert not wants_job(Execution(executor="dask-slurm", profile=str(file)))
    assert wants_job(Execution(executor="dask-slurm", profile="loopback"))


def test_a_dashboard_is_a_yes_or_no_of_a_scheduler_of_our_own():
    with pytest.raises(InvalidValue, match=r"/execution/options/dashboard.*boolean.*'yes'"):
        make_executor(Execution(executor="dask-slurm", profile="loopback", options={"dashboard": "yes"}))
    with pytest.raises(InvalidValue, match="beside /execution/address"):
        make_executor(Execution(executor="dask", address="tcp://a:1", options={"dashboard": True}))


@pytest.mark.parametrize(("host", "job"), [("node7", ""), (socket.gethostname(), "12")], ids=["elsewhere", "in-a-job"])
def test_a_dashboard_on_another_host_comes_with_the_way_to_it(caplog, monkeypatch, host, job):
    if job:
        monkeypatch.setenv("SLURM_JOB_ID", job)
    say_dashboard(f"{host}:4711")
    assert "http://localhost:4711/status" in caplog.text
    assert f"ssh -N -L 4711:127.0.0.1:4711 {host}" in caplog.text


# --- the queue --------------------------------------------------------------------------------------------------------


def test_what_all_jobs_wait_for_is_said_once_a_reason_after_two_looks(caplog):
    def job(number, state="PENDING", reason="Priority"):
        return JobState(job=str(number), state=state, reason=reason, node="")

    talk = QueueTalk()
    said = []
    for jobs in (
        [job(1, reason="None"), job(2)],  # a first look says nothing: they may start at once
        [job(1), job(2)],
        [job(1), job(2)],
        [job(1, "RUNNING"), job(2)],
        [job(1, "RUNNING"), job(2)],
        [job(2, reason="(PartitionDown)")],
        [job(2, reason="(PartitionDown)")],
        [],
    ):
        caplog.clear()
        talk.look(jobs)
        said.append(caplog.messages)
    first, second = ["jobs 1, 2 wait in the queue: Priority"], ["job 2 waits in the queue: PartitionDown"]
    assert said == [[], first, [], [], [], [], second, []]


def test_a_drain_does_not_wait_for_workers_that_have_not_come(tmp_path):
    control, n, futures = Control(), [1], []

    def submit(task):
        futures.append(Future())
        return futures[-1]

    def watch():
        if futures:
            control.drain.set()
            n[0] = 0  # the last worker has gone, or none has come yet

    assert list(run_window(submit, tmp_path, TASKS, control, n_workers=lambda: n[0], watch=watch)) == []
    assert futures
    assert all(future.cancelled() for future in futures)


STOPPED = """
import time
from campaign.execute.stopping import is_signalled, stop_on_signals
stop_on_signals()
print("ready", flush=True)
until = time.monotonic() + 1.0
while time.monotonic() < until:
    pass
print(is_signalled(), flush=True)
"""


def test_signals_that_come_together_do_not_stand_in_each_others_way():
    worker = subprocess.Popen([sys.executable, "-c", STOPPED], stdout=subprocess.PIPE, text=True)
    assert worker.stdout.readline() == "ready\n"
    for _ in range(6000):
        worker.send_signal(signal.SIGTERM)
        worker.send_signal(signal.SIGUSR1)
    try:
        assert worker.communicate(timeout=20) == ("True\n", None)
    finally:
        worker.kill()
    assert worker.returncode == 0


HOLDS = """
import sys, time
from campaign.execute.scratch import scratch
with scratch(sys.argv[1]) as folder:
    print(folder, flush=True)
    time.sleep(60)
"""


def test_what_a_killed_process_left_in_the_temporary_folder_is_removed_by_the_next_one(tmp_path):
    held = []
    for _ in range(2):
        holder = subprocess.Popen([sys.executable, "-c", HOLDS, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        held.append((holder, Path(holder.stdout.readline().strip())))
    (dead, left), (alive, used) = held
    dead.kill()
    dead.communicate()
    assert left.exists()
    with scratch(str(tmp_path)) as folder:
        assert not left.exists()
        assert used.exists()
    alive.kill()
    alive.communicate()
    assert not Path(folder).exists()


# --- devices ----------------------------------------------------------------------------------------------------------


def test_gpus_are_dealt_out_and_shared_only_on_request(monkeypatch):
    one_each = worker_environments(4, gpus=("0", "1", "2", "3"))
    assert [e["CUDA_VISIBLE_DEVICES"] for e in one_each] == ["0", "1", "2", "3"]
    assert all(e["CAMPAIGN_DEVICE"] == "gpu" for e in one_each)
    assert not any("XLA_PYTHON_CLIENT_MEM_FRACTION" in e for e in one_each)
    with pytest.raises(InvalidValue, match="5 workers for 4 GPUs"):
        worker_environments(5, gpus=("0", "1", "2", "3"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,GPU-5a")
    assert visible_gpus() == ("2", "GPU-5a")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert visible_gpus() == ()
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setenv("ROCR_VISIBLE_DEVICES", "0,1")  # what SLURM sets for AMD's GPUs
    assert visible_gpus() == ("0", "1")
    assert [e["ROCR_VISIBLE_DEVICES"] for e in worker_environments(2, gpus=visible_gpus())] == ["0", "1"]
    assert device_environment("cpu") == {"CAMPAIGN_DEVICE": "cpu", "JAX_PLATFORMS": "cpu"}


# --- the keeper -------------------------------------------------------------------------------------------------------


class Farm:
    """A queue that does what the test says."""

    def __init__(self, start_s: float = 60.0):
        self.submitted: list[tuple[str, tuple[str, ...]]] = []
        self.cancelled: list[str] = []
        self.is_fault = True
        self.keeper = Keeper(
            submit=self.submit,
            cancel=self.cancelled.extend,
            explain=lambda pilot: f"log of {pilot.job}",
            is_fault=lambda _: self.is_fault,
            start_s=start_s,
        )

    def submit(self, name, avoided):
        self.submitted.append((name, avoided))
        return str(100 + len(self.submitted))

    def look(self, now, states=(), workers=(), wanted=2):
        self.keeper.look(now, wanted, states, workers)


def running(job, node="n1"):
    return JobState(job=job, state="RUNNING", reason="None", node=node)


def test_the_keeper_submits_what_is_wanted_and_no_more():
    farm = Farm()
    farm.look(0)
    farm.look(3, [running("101"), running("102")], ["pilot1-0-17", "pilot2-0-18"])
    assert [name for name, _ in farm.submitted] == ["pilot1", "pilot2"]


def test_the_keeper_replaces_a_pilot_that_left_the_queue():
    farm = Farm()
    farm.look(0)
    for now in (3, 6, 9):
        farm.look(
            now, [running("102")] if now > 3 else [running("101"), running("102")], ["pilot1-0-17", "pilot2-0-18"]
        )
    assert [name for name, _ in farm.submitted] == ["pilot1", "pilot2", "pilot3"]
    assert farm.keeper.n_replaced == 1
    assert farm.keeper.n_fast == 0  # it had worked


def test_the_keeper_gives_up_after_three_pilots_without_a_worker():
    farm = Farm()
    for now in range(4):
        farm.look(now)  # nothing of it is ever in the queue
    with pytest.raises(Unavailable, match=r"3 worker jobs in a row ended without a worker: log of 10\d"):
        farm.look(5)
    assert len(farm.submitted) <= 4
    assert not farm.keeper.pilots


def test_the_keeper_is_patient_with_pilots_that_were_cancelled():
    farm = Farm()
    farm.is_fault = False
    for now in range(8):
        farm.look(now)
    assert farm.keeper.n_fast >= 6
    farm.is_fault = True
    with pytest.raises(Unavailable):
        [farm.look(now) for now in range(8, 12)]


def test_a_pilot_that_runs_and_never_connects_is_removed_and_its_node_avoided():
    farm = Farm(start_s=10)
    farm.look(0, wanted=1)
    farm.look(1, [running("101", "bad")], wanted=1)
    farm.look(12, [running("101", "bad")], wanted=1)
    assert farm.cancelled == ["101"]
    farm.look(13, [running("102", "bad")], wanted=1)
    farm.look(30, [running("102", "bad")], wanted=1)
    assert farm.submitted[-1] == ("pilot3", ("bad",))


def test_a_job_that_can_never_start_ends_it():
    farm = Farm()
    farm.look(0)
    never = [JobState(job=job, state="PENDING", reason="PartitionTimeLimit", node="") for job in ("101", "102")]
    farm.look(3, [running("101"), never[1]], ["pilot1-0-17"])  # one is at work: it may stay
    assert not farm.cancelled
    with pytest.raises(Unavailable, match=r"can never start: PartitionTimeLimit; change the profile \(`time_s`"):
        farm.look(6, never)
    assert set(farm.cancelled) == {"101", "102"}


def test_three_unfit_nodes_are_one_too_many():
    farm = Farm()
    farm.look(0, wanted=3)
    farm.look(1, [running("101", "a"), running("102", "b"), running("103", "c")], wanted=3)
    assert farm.keeper.blame("pilot1")
    assert farm.keeper.blame("pilot2")
    assert not farm.keeper.blame("pilot3")
    assert farm.keeper.avoided == ("a", "b", "c")


# --- shares, losses, stopping -----------------------------------------------------------------------------------------


def test_shares_are_disjoint_and_hold_everything(tmp_path):
    plan = ArrayPlan(
        token="t", stage="fit", blocks=[(0, i) for i in range(10)], n_jobs=2, workers=2, settings={}, job="7"
    )
    shares = [plan.share(k) for k in range(plan.n_shares)]
    assert Counter(t for share in shares for t in share) == dict.fromkeys(TASKS, 1)
    assert {len(share) for share in shares} == {2, 3}
    plan.save(Layout(tmp_path))
    assert load_array(Layout(tmp_path)).share(3) == plan.share(3)


def test_losses_have_a_limit_of_their_own_and_are_journalled(tmp_path):
    layout = Layout(tmp_path)
    losses = Losses(layout=layout, events=EventLog(layout), limit=3)
    assert losses.note(TASKS[0], "node died") is None
    assert losses.note(TASKS[1], "node died") is None
    assert losses.note(TASKS[0], "node died") is None
    receipt = losses.note(TASKS[0], "killed by SIGKILL")
    assert (receipt.state, receipt.task) == ("lost", TASKS[0])
    assert "lost 3 times, the last time: killed by SIGKILL" in receipt.message
    assert [(e["block"], e["count"]) for e in read_events(layout)] == [(0, 1), (1, 1), (0, 2)]


def test_a_worker_stops_for_the_disk_and_for_the_clock(tmp_path, monkeypatch):
    layout = Layout(tmp_path)
    monkeypatch.delenv(END_TIME, raising=False)
    control = worker_control(layout)
    assert control.deadline is None
    assert not control.must_stop()
    request_stop(layout, DRAIN, "test")
    control.looked_at -= 10
    assert control.must_stop()
    clear_stop(layout)
    monkeypatch.setenv(END_TIME, str(time.time() + MARGIN_S + 1000))
    assert not worker_control(layout).must_stop()
    assert worker_control(layout, time.time() - 1).must_stop()
    monkeypatch.setenv(END_TIME, str(time.time() + MARGIN_S - 1))
    assert worker_control(layout).must_stop()
    assert "time is up" in worker_control(layout).why()


def test_a_worker_begins_nothing_that_would_not_end_in_time(tmp_path, monkeypatch):
    """What passed between the last two questions cannot be interrupted, and passes again."""
    monkeypatch.delenv(END_TIME, raising=False)
    control = worker_control(Layout(tmp_path), time.time() + 50)
    assert not control.must_stop()
    control.asked_at -= 20
    assert not control.must_stop()
    assert control.stretch_s == pytest.approx(20, abs=1)
    control.asked_at -= 60
    assert control.must_stop()
    assert "time is up" in control.why()


def test_a_block_like_one_that_took_too_long_is_not_begun(tmp_path):
    ran = run_remote(str(tmp_path), BlockTask("short", 0, 0), time.time() + 60, WORK)  # takes 0.3 s
    assert ran.state == "published"
    late = run_remote(str(tmp_path), BlockTask("short", 0, 1), time.time() + 0.2, WORK)
    assert (late.state, late.message) == ("interrupted", "the worker's time is up")
    assert executions(tmp_path, "short", 1) == 0
    other = run_remote(str(tmp_path), BlockTask("fine", 0, 1), time.time() + 0.2, WORK)  # of which nothing is known
    assert other.state == "published"


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("Invalid account or account/partition combination specified", "Invalid account"),
        ("Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)", "accounting/QOS"),
    ],
)
def test_what_slurm_refuses_is_said_in_its_own_words(tmp_path, monkeypatch, said, reason):
    """The loopback SLURM has no accounts: here `sbatch` says what a site's would say."""
    (tmp_path / "sbatch").write_text(
        f'#!/bin/sh\necho "sbatch: error: Batch job submission failed: {said}" >&2; exit 1'
    )
    (tmp_path / "sbatch").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(Unavailable, match=reason) as caught:
        slurm_queue.submit("#!/bin/sh\n#SBATCH --time=1\n#SBATCH --partition=gpu\n#SBATCH -A nobody\n", "name")
    assert caught.value.message == f"sbatch: Batch job submission failed: {said} (partition `gpu`, account `nobody`)"
    assert (caught.value.exit_code, "account" in caught.value.hint) == (6, True)


PBS_SAYS = """Job Id: 17.head
    Job_Name = campaign-pilot1
    job_state = R
    exec_host = node7/0*4
Job Id: 18.head
    job_state = Q
    comment = Not Running: Not enough cpus
Job Id: 19.head
    job_state = F
"""
SGE_SAYS = """job-ID  prior   name       user         state submit/start at     queue            slots ja-task-ID
-----------------------------------------------------------------------------------------------------------------
     17 0.55500 pilot1     me           r     11/20/2026 22:00:00 all.q@node7          4
     18 0.00000 pilot2     me           qw    11/20/2026 22:00:00                      4
     20 0.00000 pilot4     me           Eqw   11/20/2026 22:00:00                      4
"""
LSF_SAYS = "17|RUN|4*node7\n18|PEND|-\n19|EXIT|node3\n"


@pytest.mark.parametrize(
    ("system", "program", "said"),
    [("pbs", "qstat", PBS_SAYS), ("sge", "qstat", SGE_SAYS), ("lsf", "bjobs", LSF_SAYS)],
)
def test_other_queues_tell_who_waits_and_who_runs(tmp_path, monkeypatch, system, program, said):
    (tmp_path / "said").write_text(said)
    (tmp_path / program).write_text(f"#!/bin/sh\ncat {tmp_path}/said\nexit 1\n")  # as for a job that has gone
    (tmp_path / program).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    found = {s.job: (s.state, s.node, s.is_hopeless) for s in states(system, ["17", "18", "19", "20"])}
    expected = {"17": ("RUNNING", "node7", False), "18": ("PENDING", "", False)}
    assert found == expected | ({"20": ("PENDING", "", True)} if system == "sge" else {})
    (tmp_path / program).unlink()
    with pytest.raises(Unavailable, match=f"queue of {system} does not answer"):
        states(system, ["17"])


def test_preloading_starts_no_device_and_no_pool():
    """What a nursery imports before it forks must not have begun to compute."""
    import subprocess
    import sys

    code = (
        "from campaign.execute.dask.nursery import preload; preload(); import os; from jax._src import xla_bridge; "
        "print(len(xla_bridge._backends), len(os.listdir('/proc/self/task')))"
    )
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=120)
    backends, threads = map(int, done.stdout.split())
    assert backends == 0
    assert threads <= 2  # this one, and the allocator's of Arrow, which survives a fork
