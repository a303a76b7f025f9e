"""Keeps as many pilot jobs alive as are wanted: compares, replaces, gives up. Knows no clock and no queue."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from campaign.errors import Unavailable
from campaign.execute.queue.patience import AGAIN_S
from campaign.execute.queue.slurm import Away, Full, JobState

MAX_FAST = 3  # pilots in a row that end without a connected worker, after which it is given up
MAX_UNLUCKY = 10  # the same, while it is not the pilots' own fault
MAX_BAD = 2  # such ends on one node, after which the node is avoided
MAX_UNFIT = 3  # nodes that are avoided, after which the fault is looked for elsewhere
MAX_PENDING_CHECKS = 2  # looks at the queue that a new job may be missing from it


@dataclass(slots=True)
class Pilot:
    """One pilot job; `job` is "" as long as it is not known whether it was submitted."""

    name: str
    job: str
    submitted: float
    running_since: float | None = None
    node: str = ""
    has_connected: bool = False
    n_missing: int = 0


@dataclass(slots=True, kw_only=True)
class Keeper:
    """The state of the farm.

    Attributes:
        submit: submits a pilot; gets its name and the nodes to avoid, gives the job's id.
        cancel: removes jobs.
        explain: how a job ended, with its log, for an error message.
        is_fault: whether a job ended by its own fault, and was not cancelled, preempted or lost with its node.
        where: the node of a job that has ended, or "".
        say: tells people.
        start_s: seconds that a running pilot may take to connect a worker.
        prefix: of the names of pilots; numbers follow.
    """

    submit: Callable[[str, tuple[str, ...]], str]
    cancel: Callable[[Iterable[str]], None]
    explain: Callable[[Pilot], str]
    is_fault: Callable[[Pilot], bool]
    where: Callable[[Pilot], str] = lambda pilot: ""
    say: Callable[[str], None] = lambda text: None
    start_s: float
    prefix: str = "pilot"
    pilots: dict[str, Pilot] = field(default_factory=dict)
    bad_nodes: Counter[str] = field(default_factory=Counter)
    n_fast: int = 0
    n_submitted: int = 0
    n_replaced: int = 0
    next_try: float = float("-inf")
    last_ending: str = ""

    @property
    def avoided(self) -> tuple[str, ...]:
        """Nodes on which pilots fail."""
        return tuple(sorted(node for node, n in self.bad_nodes.items() if n >= MAX_BAD))

    def look(self, now: float, wanted: int, states: Iterable[JobState] | None, workers: Iterable[str]) -> None:
        """Compare what is wanted with what is there, and act.

        Args:
            now: monotonic seconds.
            wanted: pilot jobs.
            states: of the queue; None when the queueing system cannot be asked: then only connected workers count.
            workers: names of connected workers; each begins with its pilot's name.

        Raises:
            Unavailable: pilots fail one after the other, or can never start; with the last one's log.
        """
        connected = {name.rsplit("-", 2)[0] for name in workers}
        jobs = None if states is None else list(states)
        by_name = {job.name: job for job in jobs or () if job.name}
        by_job = {job.job: job for job in jobs or ()}
        for pilot in list(self.pilots.values()):
            if pilot.name in connected:
                pilot.has_connected = True
                self.n_fast = 0
            if jobs is not None:
                self._check_queue(pilot, by_job.get(pilot.job) or by_name.get(job_name(pilot.name)), now)
            elif pilot.name not in connected and now - pilot.submitted > self.start_s:
                self._lost(pilot)
        self._end_hopeless(by_job)
        self._fill(now, wanted, is_queue_empty=jobs is not None and not jobs)

    def _fill(self, now: float, wanted: int, *, is_queue_empty: bool) -> None:
        """Submit what is missing. A limit of the number of jobs, or a controller that is away, means to wait.

        Raises:
            Unavailable: the job is refused; or nothing at all is in the queue, and not even one job may be.
        """
        while len(self.pilots) < wanted and now >= self.next_try:
            name = f"{self.prefix}{self.n_submitted + 1}"
            try:
                job = self.submit(name, self.avoided)
            except Away:
                job, self.next_try = "", now + AGAIN_S  # it may be in the queue all the same: the next looks tell
            except Full as full:
                if not self.pilots and is_queue_empty and not full.by_others:
                    raise
                if self.next_try == float("-inf"):
                    self.say(f"{full.message}: {len(self.pilots)} jobs at work, more as soon as the queue allows")
                self.next_try = now + AGAIN_S
                return
            except Unavailable as error:
                self.end()
                if self.last_ending and self.avoided:
                    error.message += f"; {', '.join(self.avoided)} avoided since {self.last_ending}"
                raise
            self.n_submitted += 1
            self.pilots[name] = Pilot(name, job, now)

    def _end_hopeless(self, states: dict[str, JobState]) -> None:
        """Raise when those that wait will never start, and nobody is at work."""
        hopeless = [pilot for pilot in self.pilots.values() if pilot.job in states and states[pilot.job].is_hopeless]
        if hopeless and len(hopeless) == len(self.pilots):
            self.end()
            raise states[hopeless[0].job].never_starts()

    def adopt(self, states: Iterable[JobState], now: float) -> None:
        """Take over the pilots of an earlier driver: jobs whose names say that they are of this farm."""
        for state in states:
            _, mark, number = state.name.rpartition(self.prefix)
            if mark and number.isdigit():
                name = f"{self.prefix}{number}"
                self.pilots[name] = Pilot(name, state.job, now)
                self.n_submitted = max(self.n_submitted, int(number))

    def blame(self, name: str | None) -> bool:
        """A worker of this pilot found its node unfit: avoid the node, and let the pilot go.

        Returns:
            False when it makes no sense to go on: too many nodes are unfit, so it is not the nodes.
        """
        pilot = self.pilots.get(name or "")
        if pilot is not None and self.bad_nodes[pilot.node] < MAX_BAD:
            self.bad_nodes[pilot.node] = MAX_BAD
            self.cancel([pilot.job] if pilot.job else [])
        return name is not None and len(self.avoided) < MAX_UNFIT

    def end(self) -> None:
        """Remove all pilots from the queue."""
        self.cancel([pilot.job for pilot in self.pilots.values() if pilot.job])
        self.pilots.clear()

    def _check_queue(self, pilot: Pilot, state: JobState | None, now: float) -> None:
        if state is None:
            pilot.n_missing += 1
            if pilot.n_missing >= MAX_PENDING_CHECKS:
                self._lost(pilot)
            return
        pilot.n_missing, pilot.job = 0, state.job
        if state.state == "RUNNING":
            pilot.node = state.node or pilot.node
            pilot.running_since = pilot.running_since or now
            if not pilot.has_connected and now - pilot.running_since > self.start_s:
                self.cancel([pilot.job])
                self._lost(pilot, is_silent=True)

    def _lost(self, pilot: Pilot, *, is_silent: bool = False) -> None:
        """A pilot is gone: one that never had a worker is a failure, others are just replaced."""
        del self.pilots[pilot.name]
        if not pilot.job:  # it was never submitted
            return
        self.n_replaced += 1
        if pilot.has_connected:
            return
        is_fault, node = self.is_fault(pilot), pilot.node or self.where(pilot)
        if node and (is_fault or is_silent):
            self.bad_nodes[node] += 1
            if self.bad_nodes[node] == MAX_BAD:
                self.say(f"node {node} is avoided: {MAX_BAD} jobs ended there without a worker")
            elif self.bad_nodes[node] > MAX_BAD:  # submitted before it was avoided: it says nothing new
                return
        self.n_fast += 1
        self.last_ending = self.explain(pilot)
        if self.n_fast >= (MAX_FAST if is_fault else MAX_UNLUCKY):
            self.end()
            raise Unavailable(
                f"{self.n_fast} worker jobs in a row ended without a worker: {self.last_ending}",
                hint="fix the profile (its `python`, `prologue`, `interface`), then `campaign resume`",
            )


def job_name(pilot: str) -> str:
    """The name of a pilot's job in the queue."""
    return f"campaign-{pilot}"
