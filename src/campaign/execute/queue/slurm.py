"""SLURM's queue, as much as we need of it: submit, look, cancel. One call for any number of jobs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass

from campaign.errors import Unavailable

CALL_S = 60.0  # for one client command
LOOK_S = 0.5  # between two looks while jobs leave
TRIES = 4  # of a command while the controller does not answer; waits 1, 2, 4 s between
HOPELESS = {
    "BadConstraints": "`constraint`",
    "InvalidAccount": "`account`",
    "AccountNotAllowed": "`account`, `partition`",
    "InvalidQOS": "`qos`",
    "QOSNotAllowed": "`qos`, `partition`",
    "PartitionInactive": "`partition`",
    "PartitionNodeLimit": "`nodes`, `partition`",
    "PartitionTimeLimit": "`time_s`, `partition`",
    "AssocMaxWallDurationPerJobLimit": "`time_s`, `account`",
    "QOSMaxWallDurationPerJobLimit": "`time_s`, `qos`",
    "JobHoldMaxRequeue": "`prologue`, `python`",
    "launch failed requeued held": "`prologue`, `python`",
}
"""Reasons for which a pending job never starts by itself: what to look at in the profile."""


_ASKED = re.compile(r"^#SBATCH (?:--(?=\w+=)|-(?=[pA] ))(partition|account|qos|constraint|p|A)[= ](\S+)", re.MULTILINE)
_LONG = {"p": "partition", "A": "account"}  # as dask-jobqueue writes them


@dataclass(frozen=True, slots=True, kw_only=True)
class JobState:
    """A job in the queue.

    Attributes:
        job: id, with the task's index for a task of an array.
        state: PENDING, RUNNING, COMPLETING, …
        reason: why it waits, as SLURM says it.
        node: where it runs, or "".
        name: of the job.
        array: id of the array that it is a task of, or its own.
    """

    job: str
    state: str
    reason: str
    node: str
    name: str = ""
    array: str = ""

    @property
    def is_hopeless(self) -> bool:
        return self.state == "PENDING" and self.reason.strip("()") in HOPELESS

    def never_starts(self) -> Unavailable:
        """The error of a job that is hopeless."""
        reason = self.reason.strip("()")
        return Unavailable(
            f"job {self.array or self.job} can never start: {reason}",
            hint=f"mend the profile ({HOPELESS.get(reason, 'see `squeue`')}), then `campaign resume`",
        )


def submit(script: str, *arguments: str) -> str:
    """Submit a job script; gives the job's id.

    Raises:
        Unavailable: SLURM refuses it (partition, account, limits), in SLURM's own words and with what was asked for,
            or is not there.
    """
    try:
        return _call(["sbatch", "--parsable", *arguments], stdin=script).split(";")[0].strip()
    except Unavailable as error:
        asked = [f"{_LONG.get(key, key)} `{value}`" for key, value in _ASKED.findall(script)]
        raise Unavailable(f"{error.message} ({', '.join(asked) or 'default partition'})", hint=error.hint) from error


def queue() -> list[JobState]:
    """This user's jobs; tasks of an array each by itself once they run.

    Raises:
        Unavailable: the controller does not answer.
    """
    found = []
    for line in _call(["squeue", "-h", "--me", "-o", "%i|%A|%F|%T|%r|%N|%j"]).splitlines():
        shown, job, array, state, reason, node, name = line.split("|", 6)
        own = job if "_" not in shown else shown
        found.append(JobState(job=own, state=state, reason=reason, node=node, name=name, array=array))
    return found


def states(jobs: Iterable[str]) -> list[JobState]:
    """Those of the jobs (an array's id stands for all its tasks) that are in the queue.

    Raises:
        Unavailable: the controller does not answer.
    """
    wanted = set(jobs)
    return [state for state in queue() if state.job in wanted or state.array in wanted] if wanted else []


def cancel(jobs: Iterable[str]) -> None:
    """Remove jobs from the queue; those that are gone already are no error."""
    known = list(jobs)
    if known:
        subprocess.run(["scancel", *known], capture_output=True, timeout=CALL_S, check=False)


def remove(jobs: Iterable[str]) -> None:
    """Cancel jobs and wait until they have left the queue: their processes have ended then.

    Raises:
        Unavailable: the controller does not answer.
    """
    known = list(jobs)
    if states(known):
        cancel(known)
        while states(known):
            time.sleep(LOOK_S)


def endings(job: str) -> list[str]:
    """How a job (each task of an array) ended, for a person; [] when SLURM has forgotten it."""
    try:
        text = _call(["scontrol", "show", "job", "-o", job], tries=1)
    except Unavailable:
        return []
    return [_ending(dict(part.split("=", 1) for part in line.split() if "=" in part)) for line in text.splitlines()]


def unfit_nodes(job: str, exit_code: int) -> tuple[str, ...]:
    """Nodes on which tasks of an array ended with this exit code; () when SLURM has forgotten the job."""
    try:
        text = _call(["scontrol", "show", "job", "-o", job], tries=1)
    except Unavailable:
        return ()
    tasks = [dict(part.split("=", 1) for part in line.split() if "=" in part) for line in text.splitlines()]
    nodes = {task.get("NodeList", "") for task in tasks if task.get("ExitCode", "").startswith(f"{exit_code}:")}
    return tuple(sorted(nodes - {"", "(null)"}))


def _ending(fields: dict[str, str]) -> str:
    reason = fields.get("Reason", "None")
    parts = [fields.get("JobState", ""), f"exit code {fields['ExitCode']}" if "ExitCode" in fields else ""]
    return ", ".join(p for p in [*parts, reason if reason != "None" else ""] if p)


def _call(command: list[str], *, stdin: str | None = None, tries: int = TRIES) -> str:
    if shutil.which(command[0]) is None:
        raise Unavailable(f"`{command[0]}` is not installed here", hint="run on a login node of the cluster")
    for attempt in range(tries):
        try:
            done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=CALL_S, env=_clean())
            if done.returncode == 0:
                return done.stdout
            text = done.stderr.strip()
        except subprocess.TimeoutExpired:
            text = f"no answer in {CALL_S:.0f} s: unable to contact slurm controller"
        if not _is_passing(text) or attempt == tries - 1:
            break
        time.sleep(2.0**attempt)
    what = (
        text.splitlines()[-1].removeprefix(f"{command[0]}: ").removeprefix("error: ")
        if text
        else f"exit code {done.returncode}"
    )
    raise Unavailable(
        f"{command[0]}: {what}",
        hint="check partition, account and limits in the profile (`sinfo`, `sacctmgr show assoc`)",
    )


def _is_passing(text: str) -> bool:
    """Whether an error is of the controller being away, not of what was asked."""
    lower = text.lower()
    return any(sign in lower for sign in ("unable to contact", "timed out", "connection refused", "socket"))


def _clean() -> dict[str, str]:
    """The environment without what a surrounding job would pass on to new ones."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("SLURM_", "SBATCH_")) or k == "SLURM_CONF"}
