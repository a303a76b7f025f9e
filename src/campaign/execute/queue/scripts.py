"""Job scripts: what is handed to `sbatch`, word for word. `submit --dry-run` prints these."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from string import Template

from campaign.execute.devices import isa_flag
from campaign.execute.queue.profiles import DriverJob, Profile, WorkerJob, option_of, shipped_folder

LEAD_S = 60  # before the end of a job SLURM sends USR1; it may come up to a minute earlier still
AGAIN = 75  # exit code of a job whose time was up and that could not requeue itself: it sees no SLURM in its container

# Options that say the same thing in different words: a user's takes the place of ours.
_ALIKE = (
    {"mem", "mem-per-cpu", "mem-per-gpu"},
    {"gres", "gpus", "gpus-per-node", "gpus-per-task", "gpus-per-socket"},
    {"requeue", "no-requeue"},
)


def duration(seconds: int) -> str:
    """Seconds as SLURM writes a time limit: minutes and seconds, rounded up to a minute (it counts in minutes)."""
    minutes = -(-seconds // 60)
    return f"{minutes // 1440}-{minutes % 1440 // 60:02d}:{minutes % 60:02d}:00"


def log_option(folder: Path, name: str) -> str:
    """``--output`` for a file whose folder may hold blanks and percent signs; `name` may use SLURM's ``%a``, ``%j``."""
    place = str(folder).replace("%", "%%")
    return f'--output="{place}/{name}.log"' if any(c.isspace() for c in place) else f"--output={place}/{name}.log"


def render(
    directives: Sequence[str], profile: Profile, job: WorkerJob | DriverJob, command: Sequence[str], *, computes: bool
) -> str:
    """A job script.

    The command is the process that gets the job's signals. In a container it may be blind to SLURM: then the shell
    stays, passes signals on, and requeues the job when the command ends with `AGAIN`.

    Args:
        directives: options of sbatch.
        profile, job: of the cluster; whose `prologue` and `python`.
        command: what to run.
        computes: blocks run in this job.
    """
    template = Template((shipped_folder() / "templates" / "job.sh").read_text())
    ending = "contained.sh" if len(python(profile, job)) > 1 else "exec.sh"
    return template.substitute(
        directives="\n".join(f"#SBATCH {d}" for d in directives),
        prologue="\n".join(prologue(profile, job, computes=computes)),
        command=Template((shipped_folder() / "templates" / ending).read_text())
        .substitute(command=shlex.join(command))
        .strip(),
    )


def prologue(profile: Profile, job: WorkerJob | DriverJob, *, computes: bool) -> list[str]:
    """Lines of shell before the command: as a login shell would run them, told when one of them fails."""
    own = job.prologue if isinstance(job, DriverJob) and job.prologue is not None else profile.prologue
    flags = [f'export XLA_FLAGS="${{XLA_FLAGS:-}} {isa_flag(profile.isa)}"'] if profile.isa else []
    return [*_watched(own), *(flags if computes else [])]


def _watched(lines: Sequence[str]) -> list[str]:
    if not lines:
        return []
    report = (  # of what a sourced file does, only its end
        """trap 'code=$?; [ "${#BASH_SOURCE[@]}" -gt 1 ] || """
        """echo "prologue: $BASH_COMMAND: exit code $code" >&2' ERR"""
    )
    return [report, *lines, "trap - ERR"]


def python(profile: Profile, job: WorkerJob | DriverJob) -> list[str]:
    """The words that run Python in a job."""
    own = job.python if isinstance(job, DriverJob) else None
    given = own or profile.python or sys.executable
    return [given] if isinstance(given, str) else given


def job_directives(
    profile: Profile, job: WorkerJob | DriverJob, name: str, log: str, own: Sequence[str], avoided: Sequence[str] = ()
) -> list[str]:
    """Options of sbatch of a job: ours, then the user's, which take the place of ours.

    Args:
        profile, job: of the cluster, and which of its jobs.
        name: of the job.
        log: see `log_option`.
        own: options that this kind of job has.
        avoided: nodes that it must not run on, beside those that the user excludes.
    """
    asked = {key: getattr(profile, key) for key in ("partition", "account", "qos", "constraint")}
    if isinstance(job, DriverJob):
        asked = {key: value if getattr(job, key) is None else getattr(job, key) for key, value in asked.items()}
    ours = [
        f"--job-name={name}",
        log,
        "--open-mode=append",
        f"--time={duration(job.time_s)}",
        f"--signal=B:USR1@{LEAD_S}",
        *(f"--{key}={value}" for key, value in asked.items() if value),
        *own,
    ]
    given = {option_of(directive) for directive in job.directives}
    given |= {name for group in _ALIKE if group & given for name in group}
    excluded = [_value(d) for d in job.directives if option_of(d) == "exclude"] + sorted(avoided)
    return [
        *(directive for directive in ours if option_of(directive) not in given),
        *(directive for directive in job.directives if option_of(directive) != "exclude"),
        *([f"--exclude={','.join(excluded)}"] if excluded else []),
    ]


def node_directives(profile: Profile) -> list[str]:
    """Directives of a job of one node full of workers."""
    job = profile.worker
    memory = [f"--mem={job.total_memory_mb}"] if job.total_memory_mb else []
    gpus = [f"--gres=gpu:{job.gpus}"] if job.gpus else []
    return ["--nodes=1", "--ntasks=1", f"--cpus-per-task={job.n_processors}", *memory, *gpus]


def _value(directive: str) -> str:
    """What follows the option's name."""
    return directive.lstrip("-").removeprefix("exclude").removeprefix("x").lstrip("= ")
