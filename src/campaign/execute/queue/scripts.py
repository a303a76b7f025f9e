"""Job scripts: what is handed to `sbatch`, word for word. `submit --dry-run` prints these."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from string import Template

from campaign.execute.queue.profiles import DriverJob, Profile, WorkerJob, shipped_folder

LEAD_S = 60  # before the end of a job SLURM sends USR1; it may come up to a minute earlier still


def duration(seconds: int) -> str:
    """Seconds as SLURM writes a time limit: minutes and seconds, rounded up to a minute (it counts in minutes)."""
    minutes = -(-seconds // 60)
    return f"{minutes // 1440}-{minutes % 1440 // 60:02d}:{minutes % 60:02d}:00"


def render(directives: Sequence[str], profile: Profile, command: Sequence[str]) -> str:
    """A job script. `exec` makes the command the process that gets the job's signals."""
    template = Template((shipped_folder() / "templates" / "job.sh").read_text())
    return template.substitute(
        directives="\n".join(f"#SBATCH {d}" for d in directives),
        prologue="\n".join(profile.prologue) or ":",
        command=shlex.join(command),
    )


def python(profile: Profile) -> str:
    """The Python that jobs run."""
    return profile.python or sys.executable


def common_directives(profile: Profile, name: str, log: Path, job: WorkerJob | DriverJob) -> list[str]:
    """Directives that every kind of job has."""
    own = {"partition": profile.partition, "account": profile.account, "qos": profile.qos}
    return [
        f"--job-name={name}",
        f"--output={log}",
        "--open-mode=append",
        "--requeue",
        f"--time={duration(job.time_s)}",
        f"--signal=B:USR1@{LEAD_S}",
        *(f"--{key}={value}" for key, value in own.items() if value),
        *([f"--constraint={profile.constraint}"] if profile.constraint else []),
        *job.directives,
    ]


def node_directives(profile: Profile) -> list[str]:
    """Directives of a job of one node full of workers."""
    job = profile.worker
    memory = [f"--mem={job.memory_mb * job.workers}"] if job.memory_mb else []
    gpus = [f"--gres=gpu:{job.gpus}"] if job.gpus else []
    return ["--nodes=1", "--ntasks=1", f"--cpus-per-task={job.cpus * job.workers}", *memory, *gpus]
