"""Drivers that are jobs themselves: detached, and cancelled from another shell; all through the command line."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from campaign.execute.queue.array_plan import load_array
from campaign.store.events import read_events
from campaign.store.layout import Layout
from cluster_files import write_profile
from running import assert_same, campaign, command, table, write_manifest

pytestmark = [pytest.mark.slurm, pytest.mark.usefixtures("slurm")]

FITS: dict[str, Any] = {
    "schema": "campaign/1",
    "name": "driven",
    "seed": 5,
    "problem": {"name": "decay", "n": 30},
    "engine": {"name": "trf"},
    "expand": {"sample": {"design": "sobol", "n": 512, "space": {"start.rate": {"uniform": [0.3, 2.0]}}}},
    "block": 64,
}

SLOW = FITS | {
    "problem": {"name": "slow.py:Slow"},
    "engine": {"name": "evaluate"},
    "expand": {"grid": {"start.x": {"linspace": [0, 1, 400]}}},
    "block": 4,
}
SRUN = ["srun", "--kill-on-bad-exit=1", "--mpi=pmi2", "--input=0", "--overlap", "--ntasks={n}"]


@pytest.fixture(scope="module")
def inline(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("inline")
    done = campaign("submit", write_manifest(folder, FITS), "-d", folder / "c", "--executor", "inline")
    assert done.returncode == 0, done.stderr
    return folder / "c"


def wait_for(condition, seconds: float = 150.0):
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.3)
    return found


@pytest.mark.parametrize("executor", ["slurm-array", "dask-slurm", "mpi"])
def test_a_detached_driver_is_a_job_and_finishes(slurm, tmp_path, inline, executor):
    profile = write_profile(tmp_path, **({"mpi": SRUN} if executor == "mpi" else {}))
    execution = {"executor": executor, "profile": str(profile), "workers": 2}
    if executor == "slurm-array":  # said on the command line; the others in the manifest
        document, options = FITS, ("-e", executor, "-p", profile, "-w", "2")
    else:
        document, options = FITS | {"execution": execution}, ()
    done = campaign("submit", write_manifest(tmp_path, document), "-d", tmp_path / "c", *options, "--detach", "--json")
    assert done.returncode == 0, done.stderr
    job = json.loads(done.stdout)["job"]
    assert slurm.call("scontrol", "show", "job", job).startswith(f"JobId={job}")
    wait_for(lambda: not slurm.jobs())
    assert_same(table(tmp_path / "c"), table(inline))


def test_what_is_edited_while_the_driver_waits_does_not_change_what_runs(slurm, tmp_path, inline):
    """The job of the driver is held; meanwhile the manifest asks for something else."""
    profile = write_profile(tmp_path, driver={"directives": ["--hold"]})
    execution = {"executor": "slurm-array", "profile": str(profile), "workers": 2}
    manifest = write_manifest(tmp_path, FITS | {"execution": execution})
    done = campaign("submit", manifest, "-d", tmp_path / "c", "--detach", "--json")
    assert done.returncode == 0, done.stderr
    manifest.write_text(json.dumps(FITS | {"execution": execution, "seed": 77}))
    slurm.call("scontrol", "release", json.loads(done.stdout)["job"])
    wait_for(lambda: not slurm.jobs())
    assert_same(table(tmp_path / "c"), table(inline))


STEPS = """
'''Rosenbrock's function, a tenth of a second an evaluation; each leaves a byte in a file beside the campaign.'''
import os, time
import equinox as eqx, jax, jax.numpy as jnp
import numpy as np
from campaign.problem.base import Problem
from campaign.space import Parameter, ThetaSpace


@jax.custom_jvp
def slowly(x):
    return jax.pure_callback(_wait, jax.ShapeDtypeStruct((), jnp.float64), x, vmap_method="sequential")


@slowly.defjvp
def _(primals, tangents):
    return slowly(*primals), tangents[0]


def _wait(x):
    if "STEPS_LOG" in os.environ:
        time.sleep(0.16)
        with open(os.environ["STEPS_LOG"], "a") as file:
            file.write("x")
    return np.asarray(x, np.float64)


class Steps(Problem):
    space: ThetaSpace = eqx.field(static=True)
    weight: jax.Array

    def __init__(self, weight: float = 10.0):
        self.space = ThetaSpace((Parameter(name="x", initial=-1.2), Parameter(name="y", initial=1.0)))
        self.weight = jnp.asarray(weight)

    def residuals(self, theta):
        x = slowly(theta[0])
        return jnp.stack([self.weight * (theta[1] - x**2), 1.0 - x])
"""


def test_a_walltime_of_a_minute_is_enough_for_blocks_that_take_longer(slurm, tmp_path):
    """SLURM warns after ten to forty seconds of the minute. The task saves the state of its block, which takes more
    than a minute, and goes back into the queue."""
    (tmp_path / "steps.py").write_text(STEPS)
    document = FITS | {
        "problem": {"name": "steps.py:Steps"},
        "engine": {"name": "trf", "chunk_steps": 1},
        "expand": {"grid": {"start.x": {"linspace": [-1.5, -0.5, 32]}}},
        "block": 32,
        "execution": {"checkpoint_s": 1000},  # saved when it is told to stop, not before
    }
    calm = campaign("submit", write_manifest(tmp_path, document), "-d", tmp_path / "calm", "-e", "inline")
    assert calm.returncode == 0, calm.stderr
    profile = write_profile(tmp_path, worker={"workers": 1, "time_s": 60})
    options = ("-e", "slurm-array", "-p", profile, "-w", "1")
    log = tmp_path / "log"
    done = campaign("submit", tmp_path / "manifest.json", "-d", tmp_path / "c", *options, STEPS_LOG=str(log))
    assert done.returncode == 0, done.stderr
    assert_same(table(tmp_path / "c"), table(tmp_path / "calm"))
    job = load_array(Layout(tmp_path / "c")).job
    restarts = int(slurm.call("scontrol", "show", "job", "-o", job).split("Restarts=")[1].split()[0])
    assert restarts >= 1
    assert set(pyarrow.parquet.read_table(tmp_path / "c" / "tables" / "summary.parquet")["attempt"].to_pylist()) == {0}
    found = table(tmp_path / "calm").to_pandas()
    at_most_a_step = 2 * 32 * restarts  # a step begun and not saved, of every run, each time
    assert len(log.read_text()) <= 2 * (found["n_evaluations"].sum() + found["n_steps"].sum()) + at_most_a_step


@pytest.mark.mpi
def test_a_requeued_job_whose_ranks_were_killed_goes_on(slurm, tmp_path):
    """Killed ranks leave shared memory behind; the job's next life has the same id and must not trip over it."""
    shutil.copy(Path(__file__).parents[1] / "slow_problem.py", tmp_path / "slow.py")
    profile = write_profile(tmp_path, mpi=SRUN, worker={"workers": 2, "memory_mb": 600})
    profile.write_text(profile.read_text().replace("PYTHONPATH=", "SLOW_PAUSE_S=0.2 PYTHONPATH=", 1))
    document = SLOW | {"execution": {"executor": "mpi", "profile": str(profile), "workers": 2}}
    file = write_manifest(tmp_path, document | {"expand": {"grid": {"start.x": {"linspace": [0, 1, 160]}}}})
    done = campaign("submit", file, "-d", tmp_path / "c", "--detach", "--json")
    assert done.returncode == 0, done.stderr
    job = json.loads(done.stdout)["job"]
    wait_for(lambda: n_done(tmp_path) >= 5)
    slurm.call("scancel", "--signal=KILL", f"{job}.0")
    slurm.call("scontrol", "requeue", job)
    wait_for(lambda: slurm.call("squeue", "-h", "-j", job, "-o", "%T") == "PENDING")
    assert n_done(tmp_path) < 40
    time.sleep(1.0)
    slurm.call("scontrol", "update", f"jobid={job}", "StartTime=now", check=False)
    wait_for(lambda: not slurm.jobs())
    assert table(tmp_path / "c").num_rows == n_done(tmp_path) * 4 == 160
    assert "Restarts=1" in slurm.call("scontrol", "show", "job", "-o", job)


def slow_array(folder: Path) -> subprocess.Popen[bytes]:
    """The driver of a campaign `c` on a job array, which has finished a few of its 100 blocks."""
    shutil.copy(Path(__file__).parents[1] / "slow_problem.py", folder / "slow.py")
    profile = write_profile(folder, worker={"workers": 3, "memory_mb": 300})
    document = SLOW | {"execution": {"executor": "slurm-array", "profile": str(profile)}}
    file = write_manifest(folder, document)
    slow = os.environ | {"SLOW_PAUSE_S": "0.2"}
    driver = subprocess.Popen(command("submit", file, "-d", folder / "c"), env=slow, stderr=subprocess.DEVNULL)
    wait_for(lambda: n_done(folder) >= 5)
    return driver


def n_done(folder: Path) -> int:
    return len(list((folder / "c" / "summaries" / "main").glob("*.jsonl")))


@pytest.mark.parametrize(("word", "state"), [("cancel", "stopped"), ("pause", "paused")])
def test_a_word_from_another_shell_ends_driver_and_jobs_and_a_resume_goes_on(slurm, tmp_path, word, state):
    driver = slow_array(tmp_path)
    asked = campaign(word, tmp_path / "c")
    assert asked.returncode == 0, asked.stderr
    assert driver.wait(timeout=100) == 7
    assert 5 <= n_done(tmp_path) < 100
    wait_for(lambda: not slurm.jobs())
    assert json.loads(campaign("status", tmp_path / "c", "--json").stdout)["state"] == state
    done = campaign("resume", tmp_path / "c", "-e", "inline")
    assert done.returncode == 0, done.stderr
    assert table(tmp_path / "c").num_rows == 400


def test_a_driver_of_another_kind_ends_the_array_of_a_dead_one(slurm, tmp_path):
    driver = slow_array(tmp_path)
    driver.kill()
    driver.wait()
    layout = Layout(tmp_path / "c")
    job = load_array(layout).job
    assert slurm.jobs()
    done = campaign("resume", tmp_path / "c", "-e", "inline")
    assert done.returncode == 0, done.stderr
    assert not slurm.jobs()
    assert "CANCELLED" in slurm.call("scontrol", "show", "job", "-o", job)
    events = read_events(layout)
    begun = max(e["t"] for e in events if e["event"] == "driver_started")
    own = {e["writer"] for e in events if e["event"] == "driver_started" and e["t"] == begun}
    assert {e["writer"] for e in events if e["event"].startswith("block_") and e["t"] > begun} == own
    assert table(tmp_path / "c").num_rows == 400
    assert campaign("verify", tmp_path / "c").returncode == 0


def test_an_array_whose_driver_has_died_can_be_paused(slurm, tmp_path):
    driver = slow_array(tmp_path)
    driver.kill()
    driver.wait()
    asked = campaign("pause", tmp_path / "c")
    assert asked.returncode == 0, asked.stderr
    wait_for(lambda: not slurm.jobs())
    assert n_done(tmp_path) < 100
    assert json.loads(campaign("status", tmp_path / "c", "--json").stdout)["state"] == "paused"
