"""Queues of PBS, LSF and Grid Engine, as much as the keeper needs: which jobs wait, which run, which are gone."""

from __future__ import annotations

import getpass
import re
import subprocess
from collections.abc import Callable, Iterable

from campaign.errors import Unavailable
from campaign.execute.queue.slurm import CALL_S, JobState

WAITS, RUNS = "PENDING", "RUNNING"  # SLURM's words, for the keeper
_GONE = ""


def states(system: str, jobs: Iterable[str]) -> list[JobState]:
    """Those of the jobs that are in the queue.

    Args:
        system: "pbs", "lsf" or "sge".
        jobs: ids, as the submission gave them.

    Raises:
        Unavailable: the queue cannot be asked.
    """
    wanted = list(jobs)
    if not wanted:
        return []
    command, parse = _SYSTEMS[system]
    try:
        done = subprocess.run(command(wanted), capture_output=True, text=True, timeout=CALL_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"the queue of {system} does not answer: {error}") from error
    # a job that has gone makes these commands fail, and they still tell of the others
    return [state for state in parse(done.stdout) if state.job in wanted and state.state != _GONE]


def _pbs(text: str) -> list[JobState]:
    """`qstat -f`: blocks that begin with "Job Id: 12.server", with lines "    job_state = R"."""
    found = []
    for block in re.split(r"^Job Id:\s*", text, flags=re.MULTILINE)[1:]:
        fields = dict(re.findall(r"^\s+(\w+) = (.*)$", block, flags=re.MULTILINE))
        letter = fields.get("job_state", "")
        state = RUNS if letter in ("R", "E", "B") else _GONE if letter in ("C", "F", "X", "") else WAITS
        node = fields.get("exec_host", "").partition("/")[0]
        found.append(_state(re.match(r"\d+", block), state, fields.get("comment", ""), node))
    return found


def _lsf(text: str) -> list[JobState]:
    """`bjobs -noheader -o "jobid stat exec_host delimiter='|'"`."""
    found = []
    for line in text.splitlines():
        job, _, rest = line.partition("|")
        word, _, host = rest.partition("|")
        state = RUNS if word in ("RUN", "USUSP", "SSUSP") else WAITS if word in ("PEND", "PSUSP", "WAIT") else _GONE
        found.append(_state(re.match(r"\d+", job), state, word, host.split(":")[0].rpartition("*")[2].strip("-")))
    return found


def _sge(text: str) -> list[JobState]:
    """`qstat -u USER`: columns job-ID, prior, name, user, state, date, time, queue@node (of running jobs), slots."""
    found = []
    for line in text.splitlines():
        columns = line.split()
        if len(columns) < 7 or not columns[0].isdigit():
            continue
        letters = columns[4]
        node = columns[7].partition("@")[2] if len(columns) > 7 else ""
        is_error = "E" in letters
        state = WAITS if is_error or "q" in letters or "h" in letters else RUNS
        reason = "launch failed requeued held" if is_error else letters  # as SLURM calls what never starts by itself
        found.append(_state(re.match(r"\d+", columns[0]), state, reason, node))
    return found


def _state(job: re.Match[str] | None, state: str, reason: str, node: str) -> JobState:
    return JobState(job=job[0] if job else "", state=state, reason=reason, node=node)


_SYSTEMS: dict[str, tuple[Callable[[list[str]], list[str]], Callable[[str], list[JobState]]]] = {
    "pbs": (lambda jobs: ["qstat", "-f", *jobs], _pbs),
    "lsf": (lambda jobs: ["bjobs", "-noheader", "-o", "jobid stat exec_host delimiter='|'", *jobs], _lsf),
    "sge": (lambda jobs: ["qstat", "-u", getpass.getuser()], _sge),
}
