"""Drivers that are jobs themselves: detached, and cancelled from another shell; all through the command line."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from campaign.execute.array_plan import load_array
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
    if executor == "mpi":
        launcher = ["srun", "--kill-on-bad-exit=1", "--mpi=pmi2", "--input=0", "--overlap", "--ntasks={n}"]
        profile = write_profile(tmp_path, mpi=launcher)
    else:
        profile = write_profile(tmp_path)
    document = FITS | {"execution": {"executor": executor, "profile": str(profile), "workers": 2}}
    done = campaign("submit", write_manifest(tmp_path, document), "-d", tmp_path / "c", "--detach", "--json")
    assert done.returncode == 0, done.stderr
    job = json.loads(done.stdout)["job"]
    assert slurm.call("scontrol", "show", "job", job).startswith(f"JobId={job}")
    wait_for(lambda: not slurm.jobs())
    assert_same(table(tmp_path / "c"), table(inline))


def test_a_cancel_from_another_shell_ends_driver_and_jobs_and_a_resume_goes_on(slurm, tmp_path):
    shutil.copy(Path(__file__).parents[1] / "slow_problem.py", tmp_path / "slow.py")
    profile = write_profile(tmp_path, worker={"workers": 3, "memory_mb": 300})
    document = FITS | {
        "problem": {"name": "slow.py:Slow"},
        "engine": {"name": "evaluate"},
        "expand": {"grid": {"start.x": {"linspace": [0, 1, 400]}}},
        "block": 4,
        "execution": {"executor": "slurm-array", "profile": str(profile)},
    }
    file = write_manifest(tmp_path, document)
    slow = os.environ | {"SLOW_PAUSE_S": "0.2"}
    driver = subprocess.Popen(command("submit", file, "-d", tmp_path / "c"), env=slow, stderr=subprocess.DEVNULL)
    blocks = tmp_path / "c" / "summaries" / "main"
    wait_for(lambda: len(list(blocks.glob("*"))) >= 5)
    asked = campaign("cancel", tmp_path / "c")
    assert asked.returncode == 0, asked.stderr
    assert driver.wait(timeout=100) == 7
    n_done = len(list(blocks.glob("*.jsonl")))
    assert 5 <= n_done < 100
    wait_for(lambda: not slurm.jobs())
    done = campaign("resume", tmp_path / "c")
    assert done.returncode == 0, done.stderr
    assert table(tmp_path / "c").num_rows == 400
    assert load_array(Layout(tmp_path / "c")).stage == "main"
