"""Ctrl-C, once, twice, three times: drain, cancel, exit. SIGTERM (a scheduler's warning) drains.

Where a parent waits for this process (`cli.parent`), it counts the presses and passes them on as SIGUSR2. Elsewhere a
thread sees to it that the second press ends the process in `LEAVE_S` whatever the main thread does: a signal handler
written in Python does not run while compiled code has the main thread.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from campaign.cli.output import talk
from campaign.execute.base import Control
from campaign.touching import has_parent, say_done

PRESSED = signal.SIGUSR2  # from the parent: somebody pressed Ctrl-C
LEAVE_S = 4.0  # after the second press, until the process is ended
INTERRUPTED = 130


def listen_to_parent() -> None:
    """In a child: SIGINT is the parent's business, and what it passes on means what SIGINT means."""
    signal.signal(PRESSED, signal.default_int_handler)
    signal.signal(signal.SIGINT, lambda *_: None)  # not SIG_IGN, which programs that this one starts would keep


@contextlib.contextmanager
def interruptible(control: Control) -> Iterator[Control]:
    """Turn signals into a control's events while the block runs; each says what it does."""
    if threading.current_thread() is not threading.main_thread():
        yield control
        return
    presses = 0
    press = PRESSED if has_parent() else signal.SIGINT

    def on_interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal presses
        presses += 1
        if presses == 1:
            _say("draining: running blocks finish or write a checkpoint; Ctrl-C again to cancel them")
            control.drain.set()
        elif presses == 2:
            _say("cancelling: running blocks are dropped and will run again; Ctrl-C again to exit at once")
            control.cancel.set()
            control.drain.set()
        else:
            _leave("exiting; `campaign resume` continues from what is on disk")

    def on_terminate(number: int, frame: FrameType | None) -> None:
        _say("asked to end (SIGTERM): draining; running blocks write a checkpoint")
        control.drain.set()

    before = {s: signal.signal(s, h) for s, h in ((press, on_interrupt), (signal.SIGTERM, on_terminate))}
    try:
        with contextlib.nullcontext() if has_parent() else _leaving_in_time(press):
            yield control
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _leaving_in_time(press: int) -> Iterator[None]:
    """A thread that hears of presses from the interpreter's own handler, and ends the process after the second."""
    reads, writes = os.pipe()
    os.set_blocking(writes, False)
    before = signal.set_wakeup_fd(writes, warn_on_full_buffer=False)
    over = threading.Event()

    def listen() -> None:
        presses = 0
        while presses < 2:
            numbers = os.read(reads, 64)
            if not numbers or over.is_set():
                return
            presses += numbers.count(press)
        if not over.wait(LEAVE_S):
            _leave("the running block did not return: exiting; finished blocks are kept, `campaign resume` continues")

    thread = threading.Thread(target=listen, name="campaign-interrupts", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        signal.set_wakeup_fd(before)
        os.close(writes)  # the thread reads the end
        thread.join()
        os.close(reads)


def _leave(text: str) -> None:
    _say(text)
    say_done(INTERRUPTED)
    os._exit(INTERRUPTED)


def _say(text: str) -> None:
    with contextlib.suppress(OSError, RuntimeError):  # the terminal may be gone, or be written to at this moment
        talk(f"\n{text}")
