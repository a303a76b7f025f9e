"""Job scripts of pilots, for every queueing system that dask-jobqueue knows, and how to submit and remove them."""

from __future__ import annotations

import contextlib
import importlib
import re
import shlex
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from campaign.errors import Unavailable
from campaign.execute.pilots.pilot import PILOT
from campaign.execute.queue import slurm as slurm_queue
from campaign.execute.queue.profiles import Profile
from campaign.execute.queue.scripts import LEAD_S, duration, python
from campaign.execute.queue.slurm import CALL_S
from campaign.execute.remote import PILOT_NAME
from campaign.execute.stopping import END_TIME
from campaign.store.layout import Layout

_CLASSES = {
    "slurm": ("dask_jobqueue.slurm", "SLURMJob"),
    "pbs": ("dask_jobqueue.pbs", "PBSJob"),
    "lsf": ("dask_jobqueue.lsf", "LSFJob"),
    "sge": ("dask_jobqueue.sge", "SGEJob"),
}


def pilot_job(
    profile: Profile, scheduler: str, name: str, pilot_file: Path, logs: Path, avoided: Sequence[str] = ()
) -> Any:
    """dask-jobqueue's description of one pilot job."""
    module, attribute = _CLASSES[profile.system]
    make = getattr(importlib.import_module(module), attribute)
    return make(scheduler=scheduler, name=name, **_arguments(profile, name, pilot_file, logs, avoided))


def _arguments(profile: Profile, name: str, pilot_file: Path, logs: Path, avoided: Sequence[str]) -> dict[str, Any]:
    job = profile.worker
    account = {"account": profile.account} if profile.system in ("slurm", "pbs") else {"project": profile.account}
    if not profile.account:
        account = {}
    return {
        "cores": job.cpus * job.workers,
        "memory": f"{(job.memory_mb or 1000) * job.workers}MiB",
        "processes": 1,
        "queue": profile.partition,
        "walltime": _walltime(profile),
        "python": python(profile),
        "worker_command": "campaign.execute.pilots.pilot",
        "job_script_prologue": [
            *profile.prologue,
            *_end_time(profile),
            f"export {PILOT}={shlex.quote(str(pilot_file))} {PILOT_NAME}={name}",
            "exec \\",  # the next line is the command: it becomes the process that gets the job's signals
        ],
        "job_extra_directives": _extra(profile, name, logs, avoided),
        "job_directives_skip": [] if job.memory_mb else ["--mem="],
        "log_directory": None if profile.system == "slurm" else str(logs),
        "death_timeout": 60,
        "nanny": False,
        **account,
    }


def _end_time(profile: Profile) -> list[str]:
    """Where SLURM cannot be asked, the clock tells when a job ends."""
    return [] if profile.system == "slurm" else [f"export {END_TIME}=$(( $(date +%s) + {profile.worker.time_s} ))"]


def _walltime(profile: Profile) -> str:
    seconds = profile.worker.time_s
    if profile.system == "slurm":
        return duration(seconds)
    if profile.system == "lsf":
        return f"{seconds // 3600:02d}:{seconds % 3600 // 60:02d}"
    return f"{seconds // 3600:02d}:{seconds % 3600 // 60:02d}:{seconds % 60:02d}"


def _extra(profile: Profile, name: str, logs: Path, avoided: Sequence[str]) -> list[str]:
    if profile.system != "slurm":
        return list(profile.worker.directives)
    named = {"qos": profile.qos, "constraint": profile.constraint, "exclude": ",".join(avoided)}
    return [
        f"--job-name=campaign-{name}",
        f"--output={logs}/{name}-%j.log",
        "--open-mode=append",
        "--no-requeue",  # the keeper replaces what ends
        f"--signal=B:USR1@{LEAD_S}",
        *(f"--{key}={value}" for key, value in named.items() if value),
        *([f"--gres=gpu:{profile.worker.gpus}"] if profile.worker.gpus else []),
        *profile.worker.directives,
    ]


def submit(job: Any) -> str:
    """Submit a pilot; gives the job's id.

    Raises:
        Unavailable: refused, in the queueing system's own words.
    """
    if job.submit_command == "sbatch":
        return slurm_queue.submit(job.job_script())
    with job.job_file() as path:
        is_lsf = job.submit_command == "bsub"  # which reads directives from its input only
        command, script = [job.submit_command] + [path] * (not is_lsf), job.job_script() if is_lsf else None
        try:
            done = subprocess.run(command, input=script, capture_output=True, text=True, timeout=CALL_S)
        except OSError as error:
            raise Unavailable(
                f"`{job.submit_command}` cannot be run: {error.strerror}", hint="submit from a login node"
            ) from error
    found = re.search(job.job_id_regexp, done.stdout)
    if done.returncode or found is None:
        raise Unavailable(
            f"{job.submit_command}: {done.stderr.strip() or done.stdout.strip()}", hint="mend the profile"
        )
    return found.group("job_id")


def retire_pilots(layout: Layout) -> None:
    """Remove the pilots of earlier drivers from the queue, with their schedulers' jobs, and the files that name them.

    Other systems than SLURM are not asked: there pilots end because their scheduler has gone.
    """
    files = sorted(layout.pilots("*").parent.glob(layout.pilots("*").name))
    tokens = [path.stem.rsplit("-", 1)[1] for path in files]
    with contextlib.suppress(Unavailable):
        names = tuple(f"campaign-{kind}-{token}" for token in tokens for kind in ("pilot", "scheduler"))
        jobs = slurm_queue.queue() if names else []
        slurm_queue.remove(job.job for job in jobs if job.name.startswith(names))
    for path in files:
        path.unlink(missing_ok=True)


def cancel(job_class: Any, jobs: Iterable[str]) -> None:
    """Remove jobs; those that are gone are no error."""
    known = list(jobs)
    if known:
        subprocess.run([job_class.cancel_command, *known], capture_output=True, timeout=CALL_S, check=False)
