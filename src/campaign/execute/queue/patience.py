"""Waiting for SLURM's controller, by those whose jobs go on without it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from campaign.execute.queue import slurm
from campaign.execute.queue.slurm import LOOK_S, Away, Full

PATIENCE_S = 3600.0  # that who has jobs at work waits for the controller
AGAIN_S = 20.0  # between two tries to submit while there are as many jobs as there may be
PAUSE_MAX_S = 30.0  # between two tries meanwhile

T = TypeVar("T")


def submit_patiently(script: str, name: str, must_stop: Callable[[], bool], say: Callable[[str], None]) -> str | None:
    """`submit`, once the controller answers; None when told to stop meanwhile. Raises as `submit`."""
    is_unsure = False

    def ask() -> str:
        nonlocal is_unsure
        job = slurm.submitted(name) if is_unsure else None
        is_unsure = True
        return job or slurm.submit(script, name, tries=1)

    return patiently(ask, must_stop, say)


def submit_when_there_is_room(
    script: str, name: str, must_stop: Callable[[], bool], say: Callable[[str], None]
) -> str | None:
    """`submit_patiently`, also while there are as many jobs as there may be. Raises as `wait_for_room`."""
    while not must_stop():
        try:
            return submit_patiently(script, name, must_stop, say)
        except Full as full:
            wait_for_room(full, must_stop, say)
    return None


def wait_for_room(full: Full, must_stop: Callable[[], bool], say: Callable[[str], None]) -> None:
    """Wait `AGAIN_S` for the end of a job that takes the place of ours.

    Raises:
        Full: `full`, when there is none: nothing in the queue whose end would make room.
    """
    if not full.by_others and not patiently(slurm.queue, must_stop, say) and not must_stop():
        raise full
    say(f"{full.message}: waiting until the queue allows another job")
    _sleep(AGAIN_S, must_stop)


def patiently(
    ask: Callable[[], T], must_stop: Callable[[], bool], say: Callable[[str], None], *, patience_s: float = PATIENCE_S
) -> T | None:
    """What `ask` gives, once the controller answers; None when told to stop meanwhile.

    Raises:
        Away: it has not answered for `patience_s`.
    """
    pause, since = 1.0, time.monotonic()
    while True:
        try:
            return ask()
        except Away as away:
            if time.monotonic() - since > patience_s:
                raise
            if pause == 1.0:
                say(f"{away.message}: waiting for it; running jobs continue")
            _sleep(pause, must_stop)
            if must_stop():
                return None
            pause = min(2.0 * pause, PAUSE_MAX_S)


def _sleep(seconds: float, must_stop: Callable[[], bool]) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until and not must_stop():
        time.sleep(LOOK_S)
