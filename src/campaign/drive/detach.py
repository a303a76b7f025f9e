"""A driver that is itself a job: for campaigns that outlast a login session, and for MPI from a login node."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from campaign.errors import Unavailable
from campaign.execute.catalogue import cluster_profile
from campaign.execute.queue import slurm as slurm_queue
from campaign.execute.queue.profiles import DriverJob, Profile, WorkerJob
from campaign.execute.queue.scripts import job_directives, log_option, python, render
from campaign.execute.queue.slurm import Away
from campaign.interpreter import running
from campaign.store.layout import Layout
from campaign.store.lease import holder
from campaign.store.records import publish_json, read_json

if TYPE_CHECKING:
    from campaign.manifest.model import Execution

SCHEMA = "campaign.driver-job/1"


def wants_job(execution: Execution) -> bool:
    """Whether a detached driver belongs into a job of its own: where a profile says how to ask SLURM for one."""
    is_of_cluster = execution.executor in ("slurm-array", "dask-slurm", "mpi")
    if not is_of_cluster or execution.profile is None or "SLURM_JOB_ID" in os.environ:
        return False
    profile = cluster_profile(execution)
    return profile.system == "slurm" and profile.detach == "job"


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverScript:
    """The job script of a driver, word for word, and the name that it gives the job; no other submission has it."""

    name: str
    text: str


def driver_script(
    layout: Layout, name: str, profile: Profile, arguments: Sequence[str], *, executor: str, token: str = ""
) -> DriverScript:
    """The job of a driver.

    Args:
        layout: of the campaign.
        name: of the campaign.
        profile: of the cluster.
        arguments: of `campaign`: ``submit …`` or ``resume …``, with absolute paths.
        executor: with "mpi" the job holds the ranks as well; all others submit their own jobs.
        token: tells it from other submissions; random when "".
    """
    is_mpi = executor == "mpi"
    job = profile.worker if is_mpi else profile.driver
    job_name = f"campaign-{name}-{token or secrets.token_hex(4)}"
    command = [*running("campaign.drive.driver_job", python(profile, profile.driver)), *arguments]
    own = ["--requeue", *(_mpi_size(profile.worker) if is_mpi else _size(profile.driver))]
    directives = job_directives(profile, job, job_name, log_option(layout.logs, "driver-%j"), own)
    return DriverScript(name=job_name, text=render(directives, profile, profile.driver, command, computes=is_mpi))


def _size(job: DriverJob) -> list[str]:
    memory = [f"--mem={job.memory_mb}"] if job.memory_mb else []
    return ["--nodes=1", "--ntasks=1", f"--cpus-per-task={job.cpus}", *memory]


def _mpi_size(job: WorkerJob) -> list[str]:
    memory = [f"--mem={job.total_memory_mb}"] if job.total_memory_mb else []
    gpus = [f"--gres=gpu:{job.gpus}"] if job.gpus else []
    n_ranks = job.nodes * job.workers + 1  # one hands out the blocks; the processors of a node are dealt out again
    cpus = max(job.ranks, job.n_processors // -(-n_ranks // job.nodes))
    return [f"--nodes={job.nodes}", f"--ntasks={n_ranks}", f"--cpus-per-task={cpus}", *memory, *gpus]


def submit_driver(layout: Layout, script: DriverScript) -> str:
    """Submit a driver's job; gives its id. It takes the place of one that waits.

    Its name is on disk before, so that `cancel` finds it whatever happens.

    Raises:
        Unavailable: SLURM refuses it, in its own words.
    """
    layout.logs.mkdir(parents=True, exist_ok=True)
    driver = holder(layout)
    waiting = waiting_driver_job(layout, is_driven=driver is not None and not driver.is_stale)
    if waiting is not None:
        slurm_queue.cancel([waiting])
    _note(layout, {"name": script.name, "job": ""})
    try:
        job = slurm_queue.submit(script.text, script.name)
    except Away:  # it may be in the queue
        raise
    except Unavailable:
        layout.driver_job.unlink(missing_ok=True)
        raise
    _note(layout, {"name": script.name, "job": job})
    return job


def driver_job(layout: Layout) -> str | None:
    """The job of the last detached driver, while it is in the queue; None as well where the queue cannot be asked."""
    record = _record(layout)
    if record is None:
        return None
    try:
        if "name" in record:
            found = slurm_queue.named([record["name"]])
        else:  # of an earlier version
            found = [job for job in slurm_queue.queue() if job.job == record["job"]]
    except Unavailable:
        return None
    return found[0].job if found else None


def note_driving(layout: Layout) -> None:
    """Note whether the driver that just took the lease is the detached one. Called with the lease held."""
    record = _record(layout)
    if record is not None and "name" in record:
        _note(layout, record | {"is_driving": os.environ.get("SLURM_JOB_NAME") == record["name"]})


def waiting_driver_job(layout: Layout, *, is_driven: bool) -> str | None:
    """The job of a detached driver that waits for its turn, in the queue or for the lease; None when there is none.

    Args:
        layout: of the campaign.
        is_driven: a driver holds the lease.
    """
    record = _record(layout)
    return None if record is None or (is_driven and record.get("is_driving")) else driver_job(layout)


def retire_driver_job(layout: Layout, job: str) -> None:
    """Remove a detached driver that has not begun from the queue."""
    slurm_queue.cancel([job])
    if layout.identity.exists():  # else the file is all that says what this directory is
        layout.driver_job.unlink(missing_ok=True)


def _record(layout: Layout) -> dict[str, Any] | None:
    try:
        return read_json(layout.driver_job)
    except FileNotFoundError:
        return None


def _note(layout: Layout, record: Mapping[str, Any]) -> None:
    publish_json(layout.driver_job, {**record, "schema": SCHEMA})
