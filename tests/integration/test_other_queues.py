"""Pilots through the commands of PBS, LSF and Grid Engine, which here start processes: real scripts, real workers."""

from __future__ import annotations

import os
import shlex
import sys
import threading
import time
from pathlib import Path

import pytest

from campaign.errors import Unavailable
from campaign.execute.base import Control
from campaign.execute.pilots.executor import PilotExecutor
from campaign.execute.queue.profiles import Profile, WorkerJob
from synthetic_blocks import WORK, executions, tasks

TESTS = str(Path(__file__).parents[1])
QUEUE = """#!{python}
import os, signal, subprocess, sys
from pathlib import Path
root, name, words = Path({root!r}), Path(sys.argv[0]).name, sys.argv[1:]


def alive(job):
    try:
        return Path(f"/proc/{{(root / job).read_text()}}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


if name in ("qsub", "bsub"):
    script = sys.stdin.read() if name == "bsub" else Path(words[0]).read_text()
    assert name == "qsub" or not words
    if (root / "refuse").exists():
        sys.exit("unknown queue: nonesuch")
    job = str(1 + len(list(root.glob("[0-9]*.script"))))
    (root / f"{{job}}.script").write_text(script)
    log = (root / f"{{job}}.log").open("w")
    process = subprocess.Popen(["bash", root / f"{{job}}.script"], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                               start_new_session=True)
    (root / job).write_text(str(process.pid))
    print(f"Job <{{job}}> is submitted" if name == "bsub" else f"{{job}}.head")
elif name in ("qdel", "bkill"):
    for job in words:
        if alive(job):
            os.killpg(int((root / job).read_text()), signal.SIGTERM)
else:
    jobs = [p.name for p in root.iterdir() if p.name.isdigit()]
    for job in sorted(jobs, key=int):
        is_alive = alive(job)
        if name == "bjobs":
            print(f"{{job}}|{{'RUN' if is_alive else 'EXIT'}}|node1")
        elif "-f" in words and is_alive:
            print(f"Job Id: {{job}}.head\\n    job_state = R\\n    exec_host = node1/0\\n")
        elif is_alive:
            print(f"{{job}} 0.5 pilot me r 11/20/2026 22:00:00 all.q@node1 1")
"""


@pytest.fixture(params=["pbs", "lsf", "sge"])
def queue(request, tmp_path, monkeypatch) -> tuple[str, Path]:
    """(system, folder of its jobs)."""
    programs, root = tmp_path / "bin", tmp_path / "jobs"
    programs.mkdir()
    root.mkdir()
    for name in ("bsub", "bkill", "bjobs") if request.param == "lsf" else ("qsub", "qdel", "qstat"):
        (programs / name).write_text(QUEUE.format(python=sys.executable, root=str(root)))
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    return request.param, root


def executor(system: str, **changes) -> PilotExecutor:
    path = os.pathsep.join([TESTS, *(p for p in sys.path if p)])
    given = {"system": system, "interface": "lo", "device": "cpu", "max_jobs": 2, "partition": "short", **changes}
    profile = Profile(**given, prologue=[f"export PYTHONPATH={shlex.quote(path)}"], worker=WorkerJob(workers=1))
    return PilotExecutor(profile, work=WORK, queue_s=0.5)


def are_gone(root: Path) -> bool:
    pids = [(root / job).read_text() for job in os.listdir(root) if job.isdigit()]
    return not any(Path(f"/proc/{pid}/cmdline").exists() and "campaign" in commandline(pid) for pid in pids)


def commandline(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def test_pilots_run_every_block_and_one_that_ends_is_replaced(queue, tmp_path):
    system, root = queue
    running = executor(system)

    def kill():
        until = time.monotonic() + 90
        while len(list(tmp_path.glob("done/*"))) < 3 and time.monotonic() < until:
            time.sleep(0.1)
        os.killpg(int((root / "1").read_text()), 9)

    thread = threading.Thread(target=kill)
    thread.start()
    with running:
        receipts = list(running.run(tmp_path, tasks("short", 60), Control()))
    thread.join()
    assert sorted(r.task.block for r in receipts) == list(range(60))
    assert {r.state for r in receipts} <= {"published", "already"}
    assert sum(executions(tmp_path, "short", i) for i in range(60)) <= 64
    scripts = sorted(p.name for p in root.glob("*.script"))
    assert len(scripts) >= 3  # two, and one in the place of the killed one
    script = (root / "1.script").read_text()
    assert {"pbs": "#PBS -q short", "lsf": "#BSUB -q short", "sge": "#$ -q short"}[system] in script
    assert "export CAMPAIGN_END_TIME=$(( $(date +%s) + 3600 ))" in script
    until = time.monotonic() + 90
    while not are_gone(root):
        assert time.monotonic() < until
        time.sleep(0.1)


def test_a_refusal_is_an_error_in_the_systems_own_words(queue, tmp_path):
    system, root = queue
    (root / "refuse").touch()
    with pytest.raises(Unavailable, match="unknown queue: nonesuch") as caught, executor(system) as running:
        list(running.run(tmp_path, tasks("fine", 4), Control()))
    assert caught.value.exit_code == 6


def test_pilots_that_cannot_start_are_given_up_with_their_log(queue, tmp_path):
    system, root = queue
    running = executor(system, python="/no/such/python")
    with pytest.raises(Unavailable, match="worker jobs in a row ended without a worker"), running:
        list(running.run(tmp_path, tasks("fine", 4), Control()))
    assert are_gone(root)
