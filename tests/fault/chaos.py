"""Seeded faults on a campaign that runs on the loopback SLURM."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from infrastructure import Slurm

OURS = ("campaign.execute.queue.share", "campaign.execute.pilots.pilot", "campaign.execute.mpi.world")
SCHEDULER = ("campaign.execute.pilots.scheduler_job",)


class Chaos:
    """Does one fault after the other; each undoes itself where it would otherwise end everything."""

    def __init__(self, slurm: Slurm, directory: Path, seed: int) -> None:
        self.slurm = slurm
        self.directory = directory
        self.random = random.Random(seed)
        self.done: Counter[str] = Counter()
        self.struck_at: list[float] = []
        self.driver: subprocess.Popen[bytes] | None = None
        self.executor = ""
        self._deck: list[Callable[[], bool]] = []
        self._faults: list[Callable[[], bool]] = [
            *[self.kill_worker] * 3,
            *[self.kill_task] * 2,
            *[self.scancel] * 3,
            *[self.requeue] * 2,
            self.preempt,
            *[self.shorten] * 2,
            self.node_down,
            self.kill_slurmd,
            self.kill_slurmctld,
            *[self.kill_driver] * 2,
            self.kill_scheduler,
            self.fill_disk,
            self.read_only,
            *[self.skew_clock] * 2,
        ]

    def strike(self) -> str | None:
        """One fault: the next of a shuffled deck that finds something to strike at, else of a fresh deck; its name.

        What has never struck goes first.
        """
        fresh = self.random.sample(self._faults, len(self._faults))
        for fault in sorted([*self._deck, *fresh], key=lambda fault: fault.__name__ in self.done):
            began = time.time()
            if fault():
                self.struck_at.append(began)
                self.done[fault.__name__] += 1
                if fault in self._deck:
                    self._deck.remove(fault)
                self._deck = self._deck or self.random.sample(self._faults, len(self._faults))
                return fault.__name__
        return None

    def is_over(self, n_faults: int) -> bool:
        """Whether so many faults have struck, and when they are many, of every kind."""
        is_every = set(self.done) == {fault.__name__ for fault in self._faults}
        return sum(self.done.values()) >= n_faults and (is_every or n_faults < len(self._faults))

    def end(self) -> None:
        """Leave nobody behind."""
        if self.driver is not None:
            self.driver.kill()
            self.driver.wait()
        self.slurm.call("scancel", "--me", check=False)
        for pid in self.processes(OURS + SCHEDULER):
            self._kill([pid])

    def processes(self, modules: tuple[str, ...] = OURS) -> list[int]:
        """Our processes inside jobs and MPI worlds."""
        return sorted(pid for pid, words in _commands() if any(m in words for m in modules) and self._is_here(pid))

    def kill_worker(self) -> bool:
        ours = self.processes()
        return self._kill([pid for pid in ours if _parent(pid) in ours])

    def kill_task(self) -> bool:
        ours = self.processes()
        return self._kill([pid for pid in ours if _parent(pid) not in ours])

    def kill_scheduler(self) -> bool:
        """Dask's scheduler: in a job of its own, or in the driver."""
        found = self.processes(SCHEDULER)
        return self._kill(found) if found else self.executor == "dask-slurm" and self.kill_driver()

    def scancel(self) -> bool:
        return self._job("scancel")

    def requeue(self) -> bool:
        return self._job("scontrol", "requeue")

    def shorten(self) -> bool:
        """The walltime of a job becomes one minute; it does not know."""
        jobs = self._running()
        if not jobs:
            return False
        self.slurm.call("scontrol", "update", f"jobid={self.random.choice(jobs)}", "TimeLimit=1", check=False)
        return True

    def preempt(self) -> bool:
        """A job of a higher partition takes all processors for a moment."""
        wanted = ["-p", "high", "-N3", "--ntasks-per-node=1", "--cpus-per-task=4", "-t1", "-o", "/dev/null"]
        self.slurm.call("sbatch", *wanted, "--wrap", "sleep 3", check=False)
        return True

    def node_down(self) -> bool:
        node = f"nodename=node{self.random.randint(1, 3)}"
        self.slurm.call("scontrol", "update", node, "state=down", "reason=chaos", check=False)
        time.sleep(2)
        self.slurm.call("scontrol", "update", node, "state=resume", check=False)
        return True

    def kill_slurmd(self) -> bool:
        found = self._kill_daemon(f"slurmd.node{self.random.randint(1, 3)}.pid")
        time.sleep(2)
        self.slurm.up()
        return found

    def kill_slurmctld(self) -> bool:
        found = self._kill_daemon("slurmctld.pid")
        time.sleep(3)
        self.slurm.up()
        return found

    def kill_driver(self) -> bool:
        if self.driver is None or self.driver.poll() is not None:
            return False
        self.driver.kill()
        return True

    def fill_disk(self) -> bool:
        """Fill the file system of the campaign, for two seconds."""
        ballast = self.directory.parent / "ballast"
        try:
            with ballast.open("wb", buffering=0) as file:
                while True:
                    file.write(bytes(1 << 20))
        except OSError:
            pass
        time.sleep(2)
        ballast.unlink()
        return True

    def read_only(self) -> bool:
        """Nothing can be published for two seconds, not even by root."""
        folders = [str(p) for p in (self.directory / "summaries").glob("*")]
        if not folders or subprocess.run(["chattr", "+i", *folders], capture_output=True).returncode:
            return False
        time.sleep(2)
        subprocess.run(["chattr", "-i", *folders], check=True)
        return True

    def skew_clock(self) -> bool:
        """A host whose clock is an hour off touches a lease."""
        leases = sorted((self.directory / "lock").glob("*.json"))
        if not leases:
            return False
        stamp = time.time() + self.random.choice([-3600, 3600])
        try:
            os.utime(self.random.choice(leases), (stamp, stamp))
        except FileNotFoundError:
            return False
        return True

    def _kill(self, pids: list[int]) -> bool:
        if not pids:
            return False
        try:
            os.kill(self.random.choice(pids), signal.SIGKILL)
        except ProcessLookupError:
            return False
        return True

    def _kill_daemon(self, name: str) -> bool:
        try:
            os.kill(int((self.slurm.folder / "run" / name).read_text()), signal.SIGKILL)
        except (OSError, ValueError):
            return False
        return True

    def _job(self, *command: str) -> bool:
        jobs = self._running()
        if not jobs:
            return False
        self.slurm.call(*command, self.random.choice(jobs), check=False)
        return True

    def _running(self) -> list[str]:
        return sorted(self.slurm.call("squeue", "-h", "-r", "-t", "RUNNING", "-o", "%i", check=False).split())

    def _is_here(self, pid: int) -> bool:
        """Whether a process belongs to this campaign and not to another one on this machine."""
        try:
            text = Path(f"/proc/{pid}/cmdline").read_bytes() + Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            return False
        return str(self.directory).encode() in text


def _commands() -> Iterator[tuple[int, str]]:
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if words.split(" ")[0].rsplit("/", 1)[-1].startswith("python"):
            yield int(folder.name), words


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
    except (OSError, IndexError):
        return 0
