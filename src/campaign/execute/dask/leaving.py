"""How a Dask worker leaves when it is told to: its block stops at the next chunk, its receipt goes out, it closes."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from campaign.execute.stopping import is_signalled

LOOK_S = 0.2  # between two looks
RECEIPTS_S = 5.0  # for the driver to fetch the last receipts


async def leave_on_signal(worker: Any) -> None:
    """Wait for the signal; take no more blocks, let the running one stop by itself, hand over receipts, close.

    Retiring a worker through Dask interrupts what it runs; pausing does not.

    Args:
        worker: `distributed.Worker` of this process.
    """
    from distributed.core import Status

    while not is_signalled():
        await asyncio.sleep(LOOK_S)
    worker.status = Status.paused
    while worker.state.executing_count:
        await asyncio.sleep(LOOK_S)
    until = time.monotonic() + RECEIPTS_S
    while len(worker.data) and time.monotonic() < until:
        await asyncio.sleep(LOOK_S)
    await worker.close()
