"""Job scripts of pilots, and how to submit and remove them. Those of other systems than SLURM are dask-jobqueue's."""

from __future__ import annotations

import contextlib
import importlib
import re
import shlex
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from campaign.errors import Unavailable
from campaign.execute.pilots.keeper import job_name
from campaign.execute.pilots.pilot import PILOT
from campaign.execute.queue import slurm as slurm_queue
from campaign.execute.queue.profiles import Profile
from campaign.execute.queue.scripts import job_directives, log_option, node_directives, prologue, python, render
from campaign.execute.queue.slurm import CALL_S
from campaign.execute.remote import PILOT_NAME
from campaign.execute.stopping import END_TIME
from campaign.interpreter import running
from campaign.store.layout import Layout

_CLASSES = {
    "pbs": ("dask_jobqueue.pbs", "PBSJob"),
    "lsf": ("dask_jobqueue.lsf", "LSFJob"),
    "sge": ("dask_jobqueue.sge", "SGEJob"),
}
_MODULE = "campaign.execute.pilots.pilot"


@dataclass(frozen=True, slots=True)
class SlurmPilot:
    """A pilot job of SLURM, with the words that dask-jobqueue has for those of other systems."""

    name: str
    script: str
    submit_command: ClassVar[str] = "sbatch"
    cancel_command: ClassVar[str] = "scancel"

    def job_script(self) -> str:
        return self.script


def pilot_job(
    profile: Profile, scheduler: str, name: str, pilot_file: Path, logs: Path, avoided: Sequence[str] = ()
) -> Any:
    """One pilot job: something with `job_script()`, `submit_command` and `cancel_command`."""
    if profile.system != "slurm":
        module, attribute = _CLASSES[profile.system]
        make = getattr(importlib.import_module(module), attribute)
        return make(scheduler=scheduler, name=name, **_arguments(profile, name, pilot_file, logs))
    job = profile.worker
    own = ["--no-requeue", *node_directives(profile)]  # the keeper replaces what ends
    directives = job_directives(profile, job, job_name(name), log_option(logs, f"{name}-%j"), own, avoided)
    environment = ["env", f"{PILOT}={pilot_file}", f"{PILOT_NAME}={name}"]
    command = [*environment, *running(_MODULE, python(profile, job)), scheduler]
    return SlurmPilot(name, render(directives, profile, job, command, computes=True))


def _arguments(profile: Profile, name: str, pilot_file: Path, logs: Path) -> dict[str, Any]:
    job = profile.worker
    account = {"account": profile.account} if profile.system == "pbs" else {"project": profile.account}
    if not profile.account:
        account = {}
    seconds = job.time_s
    return {
        "cores": job.n_processors,
        "memory": f"{job.total_memory_mb or 1000 * job.workers * job.ranks}MiB",
        "processes": 1,
        "queue": profile.partition,
        "walltime": f"{seconds // 3600:02d}:{seconds % 3600 // 60:02d}"
        + ("" if profile.system == "lsf" else f":{seconds % 60:02d}"),
        "python": shlex.join(python(profile, job)),
        "worker_command": _MODULE,
        "job_script_prologue": [
            *prologue(profile, job, computes=True),
            f"export {END_TIME}=$(( $(date +%s) + {seconds} ))",  # nobody can be asked when a job ends
            f"export {PILOT}={shlex.quote(str(pilot_file))} {PILOT_NAME}={name}",
            "exec \\",  # the next line is the command: it becomes the process that gets the job's signals
        ],
        "job_extra_directives": list(job.directives),
        "job_directives_skip": [] if job.memory_mb else ["--mem="],
        "log_directory": str(logs),
        "death_timeout": 60,
        "nanny": False,
        **account,
    }


def submit(job: Any) -> str:
    """Submit a pilot; gives the job's id.

    Raises:
        Full, Away: of SLURM; there may be room, or an answer, later.
        Unavailable: refused, in the queueing system's own words.
    """
    if isinstance(job, SlurmPilot):
        return slurm_queue.submit(job.script, job_name(job.name), tries=1)
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
        raise Unavailable(f"{job.submit_command}: {done.stderr.strip() or done.stdout.strip()}", hint="fix the profile")
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
        slurm_queue.remove(dict.fromkeys(job.name for job in jobs if job.name.startswith(names)))
    for path in files:
        path.unlink(missing_ok=True)


def cancel(job_class: Any, jobs: Iterable[str]) -> None:
    """Remove jobs; those that are gone are no error."""
    known = list(jobs)
    if known:
        with contextlib.suppress(subprocess.TimeoutExpired):  # the controller is away
            subprocess.run([job_class.cancel_command, *known], capture_output=True, timeout=CALL_S, check=False)
