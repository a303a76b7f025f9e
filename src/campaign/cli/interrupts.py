"""Ctrl-C, once, twice, three times: drain, cancel, exit. SIGTERM (a scheduler's warning) drains."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from campaign.cli.output import talk
from campaign.execute.base import Control


@contextlib.contextmanager
def interruptible(control: Control) -> Iterator[Control]:
    """Turn signals into a control's events while the block runs; each says what it does."""
    if threading.current_thread() is not threading.main_thread():
        yield control
        return
    presses = 0

    def on_interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal presses
        presses += 1
        if presses == 1:
            _say("draining: blocks in flight finish or checkpoint; Ctrl-C again to cancel them")
            control.drain.set()
        elif presses == 2:
            _say("cancelling: blocks in flight are dropped and will run again; Ctrl-C again to exit at once")
            control.cancel.set()
            control.drain.set()
        else:
            _say("exiting; `campaign resume` continues from what is on disk")
            os._exit(130)

    def on_terminate(number: int, frame: FrameType | None) -> None:
        _say("asked to end (SIGTERM): draining; blocks in flight checkpoint")
        control.drain.set()

    before = {s: signal.signal(s, h) for s, h in ((signal.SIGINT, on_interrupt), (signal.SIGTERM, on_terminate))}
    try:
        yield control
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _say(text: str) -> None:
    with contextlib.suppress(OSError, RuntimeError):  # the terminal may be gone, or be written to at this moment
        talk(f"\n{text}")
