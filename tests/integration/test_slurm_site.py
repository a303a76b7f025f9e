"""A site as people meet it: an ordinary user with the site's shell start-up, a campaign in a folder with a blank and a
percent sign, a problem in a file, limits of accounts, nodes that swallow jobs."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from campaign.store.layout import Layout
from cluster_files import write_profile
from infrastructure import TESTER
from running import assert_same, table

pytestmark = [pytest.mark.slurm, pytest.mark.usefixtures("slurm")]

DECAY = '''
import equinox as eqx, jax, jax.numpy as jnp
import numpy as np
from campaign.problem.base import Problem
from campaign.space import Parameter, ThetaSpace

TIMES = jnp.linspace(0.0, 4.0, 50)  # made while the file is imported: JAX must be set up before


class Decay(Problem):
    """y = a exp(-r t) + noise of 0.05."""

    space: ThetaSpace = eqx.field(static=True)
    data: jax.Array

    def __init__(self, data_seed: int = 0):
        self.space = ThetaSpace((Parameter(name="a", initial=1.0), Parameter(name="r", initial=0.5, lower=0.0)))
        noise = np.random.default_rng(data_seed).normal(0.0, 0.05, 50)
        self.data = jnp.asarray(2.0 * np.exp(-0.8 * np.asarray(TIMES)) + noise)

    def residuals(self, theta):
        return (theta[0] * jnp.exp(-theta[1] * TIMES) - self.data) / 0.05
'''
FITS: dict[str, Any] = {
    "schema": "campaign/1",
    "name": "site",
    "seed": 7,
    "problem": {"name": "decay.py:Decay"},
    "engine": {"name": "trf"},
    "expand": {
        "product": [
            {"grid": {"problem.data_seed": {"range": [0, 12, 1]}}},
            {"sample": {"design": "sobol", "n": 16, "space": {"start.r": {"uniform": [0.2, 1.5]}}}},
        ]
    },
    "block": 16,
}
SRUN = ["srun", "--kill-on-bad-exit=1", "--mpi=pmi2", "--input=0", "--overlap", "--ntasks={n}"]
SOURCED = ["source ~/.bashrc"]


def place(tester, name: str, document: dict[str, Any] | None = None, **profile: Any) -> tuple[Path, Path]:
    """A folder of the user's with a manifest, its problem and a profile: manifest, profile."""
    folder = tester.home / name
    folder.mkdir()
    (folder / "decay.py").write_text(DECAY)
    manifest = folder / "m.json"
    manifest.write_text(json.dumps(document or FITS))
    file = write_profile(folder, prologue=SOURCED, **profile)
    tester.owns(folder, *folder.iterdir())
    return manifest, file


@pytest.fixture(scope="module")
def inline(tester) -> Path:
    manifest, _ = place(tester, "inline")
    done = tester.campaign("submit", manifest, "-d", manifest.parent / "c", "-e", "inline")
    assert done.returncode == 0, done.stderr
    return manifest.parent / "c"


@pytest.mark.parametrize("executor", ["dask", "mpi", "slurm-array", "dask-slurm"])
def test_a_problem_in_a_file_has_the_same_table_everywhere(slurm, tester, inline, executor, request):
    if executor == "mpi":
        request.getfixturevalue("mpi")
    assert "PYTHONDONTWRITEBYTECODE" not in tester.environment
    manifest, profile = place(tester, executor, mpi=SRUN, worker={"workers": 2, "memory_mb": 500})
    where = manifest.parent / "c"
    options = ["-p", profile, *(["--detach"] if executor == "mpi" else [])] if executor != "dask" else []
    done = tester.campaign("submit", manifest, "-d", where, "-e", executor, "-w", "2", *options)
    assert done.returncode == 0, done.stderr
    if executor == "mpi":
        slurm.wait_until_empty()
    assert_same(table(where), table(inline))
    checked = tester.campaign("verify", where)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    slurm.wait_until_empty()
    logs = "".join(path.read_text(errors="replace") for path in (where / "logs").glob("*.log"))
    if executor in ("slurm-array", "dask-slurm"):
        assert "SITE_HAS_QUOTA" not in logs  # what fails inside the site's own file is the site's
        assert "prologue: source ~/.bashrc: exit code 1" in logs


@pytest.mark.parametrize("executor", ["slurm-array", "dask-slurm"])
def test_a_limit_of_jobs_means_fewer_jobs_and_not_the_end(slurm, tester, executor):
    manifest, profile = place(tester, f"limited-{executor}", worker={"workers": 1, "memory_mb": 500})
    with slurm.limited("user", TESTER, "MaxSubmitJobs=2"):
        assert tester.run("sbatch", "--output=/dev/null", "--wrap=sleep 300").returncode == 0
        done = tester.campaign("submit", manifest, "-d", manifest.parent / "c", "-e", executor, "-p", profile)
        assert done.returncode == 0, done.stderr
        assert executor == "slurm-array" or "AssocMaxSubmitJobLimit" in done.stderr
    assert table(manifest.parent / "c").num_rows == 192
    slurm.wait_until_empty()


@pytest.mark.parametrize("executor", ["slurm-array", "dask-slurm"])
def test_where_no_job_may_be_submitted_now_the_driver_waits_for_those_of_the_user(slurm, tester, executor):
    manifest, profile = place(tester, f"full-{executor}", worker={"workers": 1, "memory_mb": 500})
    ended = manifest.parent / "ended"
    theirs = f"until test -e '{ended}'; do sleep 0.2; done"
    with slurm.limited("user", TESTER, "MaxSubmitJobs=1"):
        assert tester.run("sbatch", "--output=/dev/null", f"--wrap={theirs}").returncode == 0
        command = tester.command("submit", manifest, "-d", manifest.parent / "c", "-e", executor, "-p", profile)
        with tester.start(*command) as driver:
            try:
                said = driver.stderr.readline()
                while "AssocMaxSubmitJobLimit" not in said:
                    line = driver.stderr.readline()
                    assert line, f"ended without a word about the limit: {said}"
                    said += line
                ended.touch()
                rest = driver.communicate(timeout=300)[1]
            finally:
                ended.touch()
                driver.kill()
        assert driver.returncode == 0, said + rest
    assert table(manifest.parent / "c").num_rows == 192
    slurm.wait_until_empty()


@pytest.mark.parametrize(
    ("kind", "limit", "said"),
    [
        ("qos", "MaxTRESPerJob=cpu=1", ("QOSMaxCpuPerJobLimit", "`cpus`")),
        ("account", "GrpTRESMins=cpu=0", ("AssocGrpCPUMinutesLimit", "used up")),
        ("user", "MaxSubmitJobs=0", ("AssocMaxSubmitJobLimit", "limit of your account")),
    ],
)
@pytest.mark.parametrize("executor", ["slurm-array", "dask-slurm"])
def test_what_never_passes_is_an_error_that_says_which_and_what_to_do(slurm, tester, executor, kind, limit, said):
    manifest, profile = place(tester, f"never-{executor}-{limit.replace('=', '')}")
    with slurm.limited(kind, "normal" if kind == "qos" else TESTER, limit):
        done = tester.campaign("submit", manifest, "-d", manifest.parent / "c", "-e", executor, "-p", profile)
    assert done.returncode == 6, done.stderr
    assert all(text in done.stderr for text in said), done.stderr
    slurm.wait_until_empty()


@pytest.mark.parametrize("executor", ["slurm-array", "dask-slurm"])
def test_a_node_that_swallows_jobs_is_avoided(slurm, tester, executor):
    """Its jobs end at once, so it is free again at once, and gets the next ones."""
    manifest, profile = place(tester, f"hole-{executor}", worker={"workers": 2, "memory_mb": 500}, max_jobs=1)
    text = profile.read_text().replace("source ~/.bashrc", "[ $SLURMD_NODENAME != node1 ] || exit 1")
    profile.write_text(text)
    done = tester.campaign("submit", manifest, "-d", manifest.parent / "c", "-e", executor, "-p", profile)
    assert done.returncode == 0, done.stderr
    assert table(manifest.parent / "c").num_rows == 192
    assert "node1" in done.stderr


LOST = """#!/bin/bash
# Hands the job over, and loses the answer.
if [ -e "$LOST_MARK" ]; then exec {sbatch} "$@"; fi
{sbatch} "$@" >/dev/null
[ -z "$LOST_ONCE" ] || touch "$LOST_MARK"
echo "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation" >&2
exit 1
"""


def losing(folder: Path) -> str:
    """A PATH on which `sbatch` loses its answers: of the first submission, where LOST_ONCE is set, else of all."""
    program = folder / "bin" / "sbatch"
    program.parent.mkdir()
    program.write_text(LOST.format(sbatch=shutil.which("sbatch")))
    program.chmod(0o755)
    return f"{program.parent}:{os.environ['PATH']}"


@pytest.mark.parametrize("executor", ["slurm-array", "dask-slurm"])
def test_a_lost_answer_to_a_submission_makes_no_second_job(slurm, tester, executor):
    manifest, profile = place(tester, f"lost-{executor}", max_jobs=1)
    folder = manifest.parent
    path, mark = losing(folder), folder / "mark"
    options = ("-d", folder / "c", "-e", executor, "-p", profile, "-w", "2")
    done = tester.campaign("submit", manifest, *options, PATH=path, LOST_ONCE="1", LOST_MARK=str(mark))
    assert done.returncode == 0, done.stderr
    assert mark.exists()
    names = slurm.call("squeue", "-h", "--states=all", f"--user={TESTER}", "-o", "%j|%F").splitlines()
    token = "campaign-main-" if executor == "slurm-array" else "campaign-pilot-"
    own = [name for name in dict.fromkeys(names) if name.startswith(token)]
    assert len({name.split("|")[0] for name in own}) == len(own)  # no name was given to two jobs
    assert table(folder / "c").num_rows == 192
    slurm.wait_until_empty()


def test_a_driver_whose_submission_lost_its_answer_can_be_cancelled(slurm, tester):
    manifest, profile = place(tester, "lost-driver", driver={"directives": ["--hold"], "memory_mb": 400})
    folder = manifest.parent
    options = ("-d", folder / "c", "-e", "slurm-array", "-p", profile, "--detach")
    path = losing(folder)
    first = tester.campaign("submit", manifest, *options, PATH=path, LOST_MARK=str(folder / "no"))
    assert len(slurm.jobs()) == 1, first.stderr
    asked = tester.campaign("cancel", folder / "c")
    assert asked.returncode == 0, asked.stderr
    slurm.wait_until_empty()


def test_a_detached_driver_that_waits_is_cancelled_with_the_driver_at_work(slurm, tester):
    slow = FITS | {"problem": {"name": "slow.py:Slow"}, "engine": {"name": "evaluate"}, "block": 4}
    slow["expand"] = {"grid": {"start.x": {"linspace": [0, 1, 400]}}}
    manifest, profile = place(tester, "waits", slow, driver={"directives": ["--hold"], "memory_mb": 400})
    shutil.copy(Path(__file__).parents[1] / "slow_problem.py", manifest.parent / "slow.py")
    where = manifest.parent / "c"
    driver = tester.start(*tester.command("submit", manifest, "-d", where, "-e", "inline"), SLOW_PAUSE_S="0.2")
    layout = Layout(where)
    until = time.monotonic() + 60
    while not list(layout.summaries_folder("main").glob("*.jsonl")):
        assert time.monotonic() < until, driver.communicate(timeout=5)
        time.sleep(0.2)
    queued = tester.campaign("resume", where, "-e", "slurm-array", "-p", profile, "--detach", "--json")
    assert queued.returncode == 0, queued.stderr
    assert slurm.jobs() == [json.loads(queued.stdout)["job"]]
    asked = tester.campaign("cancel", where)
    assert asked.returncode == 0, asked.stderr
    driver.communicate(timeout=60)
    assert driver.returncode == 7
    slurm.wait_until_empty()


def test_a_container_without_slurm_is_requeued_by_the_shell_around_it(slurm, tester):
    """`env` takes the place of `apptainer exec`: inside there is no `scontrol` and no `squeue`."""
    import sys

    slow = FITS | {"problem": {"name": "slow.py:Slow"}, "engine": {"name": "evaluate"}, "block": 4}
    slow["expand"] = {"grid": {"start.x": {"linspace": [0, 1, 120]}}}
    contained = ["env", "PATH=/nowhere", "SLOW_PAUSE_S=0.2", sys.executable]
    manifest, profile = place(tester, "contained", slow, python=contained, max_jobs=1, worker={"workers": 1})
    shutil.copy(Path(__file__).parents[1] / "slow_problem.py", manifest.parent / "slow.py")
    where = manifest.parent / "c"
    options = ("-d", where, "-e", "slurm-array", "-p", profile)
    driver = tester.start(*tester.command("submit", manifest, *options))
    until = time.monotonic() + 90
    while len(list(Layout(where).summaries_folder("main").glob("*.jsonl"))) < 3:
        assert time.monotonic() < until, driver.communicate(timeout=5)
        time.sleep(0.2)
    job = slurm.jobs()[0].split("_")[0]
    slurm.call("scancel", "--batch", "--signal=USR1", f"{job}_0")
    while "Restarts=1" not in slurm.call("scontrol", "show", "job", "-o", job):
        assert time.monotonic() < until, "not requeued"
        time.sleep(0.3)
    time.sleep(1.0)
    slurm.call("scontrol", "update", f"jobid={job}_0", "StartTime=now", check=False)
    _, err = driver.communicate(timeout=120)
    assert driver.returncode == 0, err
    assert table(where).num_rows == 120


def test_an_instruction_set_that_is_pinned_is_recorded_with_the_program(slurm, tester):
    manifest, profile = place(tester, "pinned", isa="avx2", max_jobs=1)
    where = manifest.parent / "c"
    done = tester.campaign("submit", manifest, "-d", where, "-e", "slurm-array", "-p", profile)
    assert done.returncode == 0, done.stderr
    programs = [json.loads(file.read_text()) for file in (where / "programs" / "main").glob("*.json")]
    assert {program["xla_flags"] for program in programs} == {"--xla_cpu_max_isa=AVX2"}
