"""What stops a driver: requests on disk, signals, the loss of its lease, the end of its job."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Iterator

from campaign.analysis.journal import Journal
from campaign.analysis.stillness import FEWEST_S, any_still, still_blocks
from campaign.execute.base import Control
from campaign.store.layout import Layout
from campaign.store.lease import Lease, holder
from campaign.store.owner import this_process
from campaign.store.stop import CANCEL, DRAIN, PAUSE, StopRequest, request_stop, stop_requested

DRAINS = "the driver drains"  # written to disk by a driver that a signal told to drain


@contextlib.contextmanager
def watching(layout: Layout, lease: Lease, control: Control) -> Iterator[None]:
    """Look every second for a request to drain or cancel and for the loss of the lease; now and then for what hangs."""
    done = threading.Event()
    still = _Stillness(layout)

    def watch() -> None:
        while not done.wait(1.0):
            request = stop_requested(layout)
            if request is not None:
                control.drain.set()
            elif control.drain.is_set() and not control.cancel.is_set():
                request_stop(layout, DRAIN, DRAINS)  # workers elsewhere look at the disk
            if (request is not None and request.mode == CANCEL) or not lease.is_held():
                control.cancel.set()
            still.look()

    thread = threading.Thread(target=watch, name="campaign-watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(timeout=2.0)


class _Stillness:
    """Says which blocks have not moved for long: at first, and again after twice the time."""

    def __init__(self, layout: Layout) -> None:
        self._layout, self._journal = layout, Journal.of(layout)
        self._due, self._every_s = time.monotonic() + FEWEST_S, FEWEST_S

    def look(self) -> None:
        if time.monotonic() < self._due:
            return
        self._due = time.monotonic() + FEWEST_S / 5
        if any_still(self._layout):
            self._journal.update()
            for text in still_blocks(self._layout, self._journal):
                logging.getLogger("campaign").warning("%s", text)
                self._every_s *= 2
                self._due = time.monotonic() + self._every_s


def pause_requested(layout: Layout) -> StopRequest | None:
    """The request to pause, which stands until somebody resumes."""
    request = stop_requested(layout)
    return request if request is not None and request.mode == PAUSE else None


def why_stopped(layout: Layout, control: Control) -> str:
    """In words, what kept the driver from finishing."""
    asked, current = stop_requested(layout), holder(layout)
    if current is not None and current.owner is not None and current.owner.writer != this_process().writer:
        return f"another driver has taken over: {current}"
    if control.deadline is not None and time.time() >= control.deadline:
        return "the time of the driver's job is up"
    if asked is not None and asked.reason != DRAINS:
        return f"{'cancelled' if asked.mode == CANCEL else 'drained'} by {asked.by}"
    return "interrupted" if control.must_stop() else "stopped before the end"
