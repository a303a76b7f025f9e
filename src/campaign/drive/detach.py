"""A driver that is itself a job: for campaigns that outlast a login session, and for MPI from a login node."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from campaign.errors import Unavailable
from campaign.execute.catalogue import cluster_profile
from campaign.execute.queue import slurm as slurm_queue
from campaign.execute.queue.profiles import Profile
from campaign.execute.queue.scripts import common_directives, python, render
from campaign.store.layout import Layout
from campaign.store.records import publish_json, read_json

if TYPE_CHECKING:
    from campaign.manifest.model import Execution


def wants_job(execution: Execution) -> bool:
    """Whether a detached driver belongs into a job of its own: where a profile says how to ask SLURM for one."""
    is_of_cluster = execution.executor in ("slurm-array", "dask-slurm", "mpi")
    if not is_of_cluster or execution.profile is None or "SLURM_JOB_ID" in os.environ:
        return False
    return cluster_profile(execution).system == "slurm"


def driver_script(layout: Layout, name: str, profile: Profile, arguments: Sequence[str], *, executor: str) -> str:
    """The job script of a driver, word for word.

    Args:
        layout: of the campaign.
        name: of the campaign.
        profile: of the cluster.
        arguments: of `campaign`: ``submit …`` or ``resume …``, with absolute paths.
        executor: with "mpi" the job holds the ranks as well; all others submit their own jobs.
    """
    job = profile.worker if executor == "mpi" else profile.driver
    command = [python(profile), "-m", "campaign.drive.driver_job", *arguments]
    directives = common_directives(profile, f"campaign-{name}", layout.log("driver-%j"), job)
    return render([*directives, *_size(profile, executor)], profile, command)


def _size(profile: Profile, executor: str) -> list[str]:
    if executor != "mpi":
        memory = [f"--mem={profile.driver.memory_mb}"] if profile.driver.memory_mb else []
        return ["--nodes=1", "--ntasks=1", f"--cpus-per-task={profile.driver.cpus}", *memory]
    job = profile.worker
    memory = [f"--mem={job.memory_mb * job.workers}"] if job.memory_mb else []
    gpus = [f"--gres=gpu:{job.gpus}"] if job.gpus else []
    n_ranks = job.nodes * job.workers + 1  # one hands out the blocks; the processors of a node are shared out anew
    cpus = max(1, job.cpus * job.workers // -(-n_ranks // job.nodes))
    return [f"--nodes={job.nodes}", f"--ntasks={n_ranks}", f"--cpus-per-task={cpus}", *memory, *gpus]


def submit_driver(layout: Layout, script: str) -> str:
    """Submit a driver's job; gives its id.

    Raises:
        Unavailable: SLURM refuses it, in its own words.
    """
    layout.logs.mkdir(parents=True, exist_ok=True)
    job = slurm_queue.submit(script)
    publish_json(layout.driver_job, {"schema": "campaign.driver-job/1", "job": job})
    return job


def driver_job(layout: Layout) -> str | None:
    """The job of the last detached driver, while it is in the queue; None as well where the queue cannot be asked."""
    try:
        job = read_json(layout.driver_job)["job"]
        return job if slurm_queue.states([job]) else None
    except (FileNotFoundError, Unavailable):
        return None


def retire_driver_job(layout: Layout) -> None:
    """Remove a detached driver that has not begun from the queue."""
    job = driver_job(layout)
    if job is not None:
        slurm_queue.cancel([job])
        if layout.identity.exists():  # else the file is all that says what this directory is
            layout.driver_job.unlink(missing_ok=True)
