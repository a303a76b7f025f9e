"""What can be said of a cluster before anything is submitted. `campaign doctor` shows it; each finding has its fix."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from typing import NamedTuple

from campaign.errors import CampaignError
from campaign.execute.mpi.launcher import launch_command
from campaign.execute.queue.profiles import load_profile, profile_names

OK, WARN, FAIL = "ok", "warn", "fail"
CALL_S = 20.0


class Check(NamedTuple):
    """One finding: what was looked at, the verdict, what was seen, and what to do."""

    name: str
    level: str
    message: str
    fix: str | None = None


def check_slurm() -> Iterator[Check]:
    """Whether SLURM answers, its nodes, and the limits that matter here. Nothing where there is no SLURM."""
    if shutil.which("sbatch") is None:
        return
    settings = _slurm_settings()
    if settings is None:
        fix = "run on a login node; SLURM_CONF must name the cluster's slurm.conf"
        yield Check("slurm", FAIL, "sbatch is here, and the controller does not answer", fix)
        return
    version = settings.get("SLURM_VERSION", "of an unknown version")
    yield Check("slurm", OK, f"{settings.get('ClusterName', 'cluster')}, SLURM {version}, {_nodes()}")
    largest = int(settings.get("MaxArraySize", "1001"))
    fix = "keep `max_jobs` of the profile below it" if largest < 100 else None
    yield Check("slurm arrays", WARN if fix else OK, f"up to {largest - 1} tasks an array", fix)
    if settings.get("JobRequeue") == "0":
        message = "jobs are not requeued by default; ours ask for it (--requeue)"
        yield Check("slurm requeue", WARN, message, "ask the site whether --requeue is allowed")
    wait = int(settings.get("KillWait", "30 sec").split()[0])
    if wait < 10:
        yield Check(
            "slurm KillWait", WARN, f"{wait} s between SIGTERM and SIGKILL", "short checkpoints: `checkpoint_s`"
        )


def check_mpi() -> Iterator[Check]:
    """Whether the launcher and the MPI library of mpi4py belong together: two ranks are started."""
    try:
        command = launch_command(2, "mpiexec")
    except CampaignError as error:
        yield Check("mpi", OK, f"{error.message}; only executor `mpi` needs it")
        return
    code = "from mpi4py import MPI; print(MPI.COMM_WORLD.size)"
    try:
        done = subprocess.run(
            [*command, sys.executable, "-c", code], capture_output=True, text=True, timeout=3 * CALL_S
        )
    except subprocess.TimeoutExpired:
        yield Check(
            "mpi",
            FAIL,
            f"{' '.join(command)} does not come back",
            "see the MPI section of the manual, `docs/clusters.md`",
        )
        return
    if done.returncode == 0 and "".join(done.stdout.split()) == "22":  # two ranks may write into one line
        yield Check("mpi", OK, command[0])
        return
    seen = (done.stderr or done.stdout).strip().splitlines()
    message = f"{command[0]} -n 2 gave {seen[-1][:120] if seen else 'nothing'}"
    yield Check("mpi", FAIL, message, "the launcher must belong to mpi4py's library: `pip install mpich mpi4py`")


def check_profiles() -> Iterator[Check]:
    """Whether every cluster profile can be read."""
    for name in profile_names():
        try:
            load_profile(name)
        except CampaignError as error:
            yield Check("profile", FAIL, error.message, error.hint)
    yield Check("profiles", OK, ", ".join(profile_names()))


def _slurm_settings() -> dict[str, str] | None:
    text = _output("scontrol", "show", "config")
    if text is None:
        return None
    pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line)
    return {key.strip(): value.strip() for key, value in pairs}


def _nodes() -> str:
    text = _output("sinfo", "-h", "-N", "-o", "%N %t") or ""
    states = dict(line.split() for line in text.splitlines() if line.strip())
    down = sorted(node for node, state in states.items() if state.startswith(("down", "drain", "fail")))
    return f"{len(states)} nodes" + (f", {len(down)} of them out of service" if down else "")


def _output(*command: str) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=CALL_S)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
