"""Waiting for SLURM's controller, by those whose jobs go on without it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from campaign.execute.queue import slurm
from campaign.execute.queue.slurm import LOOK_S, Away

PATIENCE_S = 3600.0  # that who has jobs at work waits for the controller
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
                say(f"{away.message}: waiting for it; running jobs go on")
            until = time.monotonic() + pause
            while time.monotonic() < until:
                if must_stop():
                    return None
                time.sleep(LOOK_S)
            pause = min(2.0 * pause, PAUSE_MAX_S)
