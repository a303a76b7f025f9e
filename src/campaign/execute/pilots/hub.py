"""The scheduler that pilots connect to: next to the driver, or in its own job that drivers come back to."""

from __future__ import annotations

import contextlib
import secrets
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from campaign.errors import InvalidValue, Unavailable
from campaign.execute.pilots.pilot import PilotFile, load_pilot_file
from campaign.execute.queue import slurm as slurm_queue
from campaign.execute.queue.patience import patiently, submit_when_there_is_room
from campaign.execute.queue.profiles import Profile
from campaign.execute.queue.scripts import job_directives, log_option, python, render
from campaign.execute.talk import QueueTalk, say
from campaign.interpreter import running
from campaign.store.layout import Layout
from campaign.store.waiting import log_tail

RECONNECT_S = 5.0  # for a scheduler that an earlier driver left to answer
QUEUED_S = 3600.0  # that a scheduler's job may wait in the queue
LOOK_S = 1.0
MEND = "fix the profile (its `python`, `prologue`, `[driver]`), then `campaign resume`"


@dataclass(frozen=True, slots=True)
class Hub:
    """A scheduler with a client of it.

    Attributes:
        client: `distributed.Client`.
        path: of the pilot file.
        address: of the scheduler.
        prefix: of the names of its pilots.
        scheduler: the scheduler itself when it runs in this process, else None.
    """

    client: Any
    path: Path
    address: str
    prefix: str
    scheduler: Any = None

    def workers(self) -> list[str]:
        """Names of the connected workers."""
        if self.scheduler is not None:
            return [str(worker.name) for worker in list(self.scheduler.workers.values())]
        try:
            found = self.client.scheduler_info(n_workers=-1)["workers"]
        except (OSError, TypeError, KeyError):
            return []
        return [str(worker["name"]) for worker in found.values()]


def beside_driver(stack: contextlib.ExitStack, layout: Layout, profile: Profile, dashboard: bool = False) -> Hub:
    """A scheduler in this process; it ends with it."""
    from campaign.execute.dask.own_scheduler import start_scheduler

    _forget(layout)
    connection = start_scheduler(stack, interface=profile.interface or "", dashboard=dashboard)
    token = secrets.token_hex(4)
    path, address = layout.pilots(token), connection.scheduler.address
    replace(_blank(profile), scheduler=address, security=connection.keys).save(path)
    stack.callback(path.unlink, missing_ok=True)
    return Hub(connection.client, path, address, f"pilot-{token}-", connection.scheduler)


def in_job(
    stack: contextlib.ExitStack,
    layout: Layout,
    profile: Profile,
    must_stop: Callable[[], bool],
    dashboard: bool = False,
) -> Hub | None:
    """A scheduler in a job: that of an earlier driver when it answers, else a new one.

    An earlier driver has decided whether its scheduler has a dashboard. None: told to stop while the job waited.

    Raises:
        Unavailable: the job cannot start; with SLURM's reason or its log.
    """
    if profile.system != "slurm":
        raise InvalidValue(f"scheduler = `job` with system `{profile.system}`", hint="valid: `driver`")
    hub = _reconnected(stack, layout) or _submitted(stack, layout, profile, must_stop, dashboard)
    if hub is None:
        return None
    stack.callback(hub.path.unlink, missing_ok=True)
    stack.callback(_cancel_named, _job_name(hub.path))
    return hub


def _cancel_named(name: str) -> None:
    with contextlib.suppress(Unavailable):
        slurm_queue.cancel(job.job for job in slurm_queue.named([name]))


def scheduler_script(layout: Layout, profile: Profile, path: Path, dashboard: bool = False) -> str:
    """The job script of a scheduler, word for word."""
    job = profile.driver
    own = [
        "--no-requeue",
        "--nodes=1",
        "--ntasks=1",
        f"--cpus-per-task={job.cpus}",
        *([f"--mem={job.memory_mb}"] if job.memory_mb else []),
    ]
    name = _job_name(path)
    directives = job_directives(profile, job, name, log_option(layout.logs, f"{name}-%j"), own)
    command = [*running("campaign.execute.pilots.scheduler_job", python(profile, job)), str(path)]
    return render(directives, profile, job, [*command, *["dashboard"] * dashboard], computes=False)


def _submitted(
    stack: contextlib.ExitStack, layout: Layout, profile: Profile, must_stop: Callable[[], bool], dashboard: bool
) -> Hub | None:
    path = layout.pilots(secrets.token_hex(4))
    _blank(profile).save(path)
    layout.logs.mkdir(parents=True, exist_ok=True)
    script = scheduler_script(layout, profile, path, dashboard)
    talk = QueueTalk()
    job = submit_when_there_is_room(script, _job_name(path), must_stop, talk.say_once)
    if job is None:
        path.unlink(missing_ok=True)
        return None
    until = time.monotonic() + QUEUED_S
    while time.monotonic() < until and not must_stop():
        file = load_pilot_file(path)
        if file.scheduler:
            return _connected(stack, path, file)
        states = patiently(lambda: slurm_queue.named([_job_name(path)], tries=1), must_stop, say)
        if states is None:
            break
        state = next(iter(states), None)
        if state is None or state.is_hopeless:
            slurm_queue.cancel([job])
            path.unlink(missing_ok=True)
            if state is not None:
                raise state.never_starts()
            reason = "; ".join(str(ending) for ending in slurm_queue.endings(job)) or "unknown end"
            tail = log_tail(layout.log(f"{_job_name(path)}-{job}"))
            raise Unavailable(f"the scheduler's job {job} cannot start: {reason}\n{tail}", hint=MEND)
        talk.look([state])
        time.sleep(LOOK_S)
    slurm_queue.cancel([job])
    path.unlink(missing_ok=True)
    if must_stop():
        return None
    raise Unavailable(f"the scheduler's job {job} has waited for {QUEUED_S:.0f} s", hint="use `scheduler = driver`")


def _reconnected(stack: contextlib.ExitStack, layout: Layout) -> Hub | None:
    """The scheduler that an earlier driver left behind, when it still answers; the files of others are removed."""
    for path in sorted(layout.pilots("*").parent.glob(layout.pilots("*").name)):
        with contextlib.suppress(Unavailable, OSError):
            file = load_pilot_file(path)
            if file.scheduler:
                return _connected(stack, path, file, timeout=RECONNECT_S)
        path.unlink(missing_ok=True)
    return None


def _connected(stack: contextlib.ExitStack, path: Path, file: PilotFile, timeout: float = 60.0) -> Hub:
    from distributed import Client, Security

    from campaign.execute.dask.dashboard import say_dashboard
    from campaign.execute.dask.settings import LogTail, configure

    configure()
    stack.enter_context(LogTail())
    try:
        client = Client(file.scheduler, security=Security(**file.security), timeout=timeout, set_as_default=False)
    except (OSError, TimeoutError) as error:
        raise Unavailable(f"no scheduler answers at {file.scheduler}: {error}") from error
    if file.dashboard:
        say_dashboard(file.dashboard)
    return Hub(stack.enter_context(client), path, file.scheduler, f"pilot-{path.stem.rsplit('-', 1)[1]}-")


def _forget(layout: Layout) -> None:
    """Remove the keys of drivers that were killed; their schedulers died with them."""
    for path in layout.pilots("*").parent.glob(layout.pilots("*").name):
        path.unlink(missing_ok=True)


def _job_name(path: Path) -> str:
    return f"campaign-scheduler-{path.stem.rsplit('-', 1)[1]}"


def _blank(profile: Profile) -> PilotFile:
    """What pilots of a profile need to know, before there is a scheduler."""
    job = profile.worker
    return PilotFile(
        scheduler="",
        security={},
        interface=profile.interface or "",
        workers=job.workers,
        threads=job.cpus,
        workers_per_gpu=job.workers_per_gpu,
        device=profile.device,
        local_folder=profile.local_folder,
        sys_path=[p for p in sys.path if p],
    )
