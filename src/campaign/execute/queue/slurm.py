"""SLURM's queue, as much as we need of it: submit, look, cancel. One call for any number of jobs."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass

from campaign.errors import Unavailable
from campaign.execute.queue.reasons import is_away, is_full, is_full_of_others, verdict

CALL_S = 60.0  # for one client command
LOOK_S = 0.5  # between two looks while jobs leave
TRIES = 4  # of a command while the controller does not answer; waits 1, 2, 4 s between

_ASKED = re.compile(r"^#SBATCH (?:--(?=\w+=)|-(?=[pA] ))(partition|account|qos|constraint|p|A)[= ](\S+)", re.MULTILINE)
_LONG = {"p": "partition", "A": "account"}  # as dask-jobqueue writes them
_FORMAT = "%i|%A|%F|%T|%r|%N|%j"


class Away(Unavailable):
    """The controller does not answer: what was asked for may have happened or not, and will be possible again."""


class Full(Unavailable):
    """A limit of how many jobs there may be. Attribute `by_others`: the jobs that fill it may be other people's."""

    by_others = False


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
        return self.state == "PENDING" and verdict(self.reason) is not None

    def never_starts(self) -> Unavailable:
        """The error of a job that is hopeless."""
        found = verdict(self.reason)
        what, hint = (found.what, found.hint) if found else (self.reason.strip("()"), "see `squeue`")
        return Unavailable(f"job {self.array or self.job} can never start: {what}", hint=hint)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a job, or a task of an array, ended.

    Attributes:
        state: FAILED, CANCELLED, OUT_OF_MEMORY, …
        exit_code: "1:0", or "".
        reason: SLURM's, or "".
        node: the first of its nodes, or "".
        run_s: seconds that it ran.
    """

    state: str
    exit_code: str
    reason: str
    node: str
    run_s: float

    def __str__(self) -> str:
        exit_code = f"exit code {self.exit_code}" if self.exit_code else ""
        return ", ".join(part for part in (self.state, exit_code, self.reason) if part)


def submit(script: str, name: str, *, tries: int = TRIES) -> str:
    """Submit a job script; gives the job's id.

    When the controller's answer does not come, the job may be in the queue all the same: before another try the queue
    is asked for its name.

    Args:
        script: of the job.
        name: that the script gives the job; no other submission has it.
        tries: while the controller does not answer.

    Raises:
        Full: there are as many jobs as there may be.
        Away: the controller does not answer; look for the name before another try.
        Unavailable: SLURM refuses it (partition, account), in SLURM's own words and with what was asked for, or is not
            there.
    """
    for attempt in range(tries):
        try:
            return _call(["sbatch", "--parsable"], stdin=script, tries=1).split(";")[0].strip()
        except Away:
            if attempt == tries - 1:
                raise
        except Unavailable as error:
            asked = [f"{_LONG.get(key, key)} `{value}`" for key, value in _ASKED.findall(script)]
            error.message = f"{error.message} ({', '.join(asked) or 'default partition'})"
            raise
        time.sleep(2.0**attempt)
        with contextlib.suppress(Away):
            if (job := submitted(name)) is not None:
                return job
    raise AssertionError("unreachable")


def submitted(name: str) -> str | None:
    """The id of the job that was submitted under a name, also when it has ended; None when there is none.

    Raises:
        Away: the controller does not answer.
    """
    jobs = _parsed(["squeue", "-h", "--states=all", f"--name={name}", "-o", _FORMAT], tries=1)
    return max((job.array or job.job for job in jobs), key=int, default=None)


def queue(*, tries: int = TRIES) -> list[JobState]:
    """This user's jobs; tasks of an array each by itself once they run.

    Raises:
        Away: the controller does not answer.
    """
    return _parsed(["squeue", "-h", "--me", "-o", _FORMAT], tries=tries)


def named(names: Iterable[str], *, tries: int = TRIES) -> list[JobState]:
    """Jobs in the queue that have one of the names, whoever submitted them.

    Raises:
        Away: the controller does not answer.
    """
    wanted = [name for name in names if name]
    if not wanted:
        return []
    found = _parsed(["squeue", "-h", f"--name={','.join(wanted)}", "-o", _FORMAT], tries=tries)
    return [job for job in found if job.name in wanted]


def cancel(jobs: Iterable[str], *, only_waiting: bool = False) -> None:
    """Remove jobs from the queue; those that are gone already are not an error."""
    known = list(jobs)
    if known:
        options = ["--state=PENDING"] if only_waiting else []
        with contextlib.suppress(
            subprocess.TimeoutExpired, FileNotFoundError
        ):  # the controller is away, or no SLURM here
            subprocess.run(
                ["scancel", *options, *known], capture_output=True, timeout=CALL_S, check=False, env=_clean()
            )


def remove(names: Iterable[str]) -> None:
    """Cancel the jobs that have these names and wait until they have left the queue: their processes have ended then.

    Raises:
        Away: the controller does not answer.
    """
    known = list(names)
    if found := named(known):
        cancel(dict.fromkeys(job.array or job.job for job in found))
        while named(known):
            time.sleep(LOOK_S)


def endings(job: str) -> list[Ending]:
    """How a job (each task of an array) ended; [] when SLURM has forgotten it, or is away."""
    try:
        text = _call(["scontrol", "show", "job", "-o", job], tries=1)
    except Unavailable:
        return []
    return [_ending(dict(part.split("=", 1) for part in line.split() if "=" in part)) for line in text.splitlines()]


def _parsed(command: list[str], *, tries: int) -> list[JobState]:
    found = []
    for line in _call(command, tries=tries).splitlines():
        shown, job, array, state, reason, node, name = line.split("|", 6)
        own = job if "_" not in shown else shown
        found.append(JobState(job=own, state=state, reason=reason, node=node, name=name, array=array))
    return found


def _ending(fields: dict[str, str]) -> Ending:
    reason, node = fields.get("Reason", "None"), fields.get("NodeList", "")
    return Ending(
        state=fields.get("JobState", ""),
        exit_code=fields.get("ExitCode", ""),
        reason="" if reason == "None" else reason,
        node="" if node == "(null)" else node,
        run_s=_seconds(fields.get("RunTime", "")),
    )


def _seconds(text: str) -> float:
    """ "1-02:03:04" → 93784; infinite where there is no time."""
    days, _, clock = text.rpartition("-")
    parts = clock.split(":")
    if len(parts) != 3 or not all(part.isdigit() for part in (*parts, days or "0")):
        return float("inf")
    return float(86400 * int(days or 0) + 3600 * int(parts[0]) + 60 * int(parts[1]) + int(parts[2]))


def _call(command: list[str], *, stdin: str | None = None, tries: int = TRIES) -> str:
    """Standard output of a client command.

    Raises:
        Away, Full, Unavailable: which of the three situations it is, in SLURM's words.
    """
    if shutil.which(command[0]) is None:
        raise Unavailable(
            f"`{command[0]}` is not installed here",
            hint="run on a login node of the cluster, and outside a container: where SLURM's commands are installed",
        )
    text = ""
    for attempt in range(tries):
        try:
            done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=CALL_S, env=_clean())
            if done.returncode == 0:
                return done.stdout
            text = done.stderr.strip() or f"exit code {done.returncode}"
        except subprocess.TimeoutExpired:
            text = f"no answer in {CALL_S:.0f} s: unable to contact slurm controller"
        if not is_away(text) or attempt == tries - 1:
            break
        time.sleep(2.0**attempt)
    raise _error(command[0], text)


def _error(program: str, text: str) -> Unavailable:
    lines = [line.removeprefix(f"{program}: ").removeprefix("error: ") for line in text.splitlines()]
    what = f"{program}: {': '.join(lines[-2:])}"
    if is_away(text):
        hint = "SLURM's controller does not answer (`scontrol ping`); when it does, `campaign resume`"
        return Away(f"{program}: {lines[-1]}", hint=hint)
    if is_full(text):
        full = Full(
            what,
            hint="a limit of your account or QOS: wait, or lower `max_jobs` (see `sacctmgr show assoc`)",
        )
        full.by_others = is_full_of_others(text)
        return full
    reason = next((found for line in lines if (found := verdict(line))), None)
    if reason is not None:
        return Unavailable(f"{program}: {reason.what}", hint=reason.hint)
    return Unavailable(
        what, hint="check partition, account, qos and limits in the profile (`sinfo`, `sacctmgr show assoc`)"
    )


def _clean() -> dict[str, str]:
    """The environment without what a surrounding job would pass on to new ones."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("SLURM_", "SBATCH_")) or k == "SLURM_CONF"}
