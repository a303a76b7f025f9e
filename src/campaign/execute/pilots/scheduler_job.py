"""A Dask scheduler in its own job: it and its pilots outlive the driver, and the next driver finds them warm.

``python -m campaign.execute.pilots.scheduler_job <pilot file> [dashboard]``. The driver has written what pilots need to
know; address and keys are filled in here. Without a driver for `ALONE_S` the scheduler ends, and its pilots with it.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from campaign.execute.pilots.pilot import load_pilot_file

ALONE_S = 600.0  # for the next driver to come


def main() -> None:
    """Entry of the job."""
    asyncio.run(_serve(Path(sys.argv[1]), dashboard="dashboard" in sys.argv[2:]))


async def _serve(path: Path, *, dashboard: bool) -> None:
    from distributed import Scheduler

    from campaign.execute.dask.dashboard import dashboard_place
    from campaign.execute.dask.own_scheduler import new_keys, scheduler_options
    from campaign.execute.dask.settings import configure

    configure()
    file, keys = load_pilot_file(path), new_keys()
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGUSR1):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    options = scheduler_options(keys, interface=file.interface, dashboard=dashboard)
    async with Scheduler(**options) as scheduler:
        place = dashboard_place(scheduler) if dashboard else ""
        replace(file, scheduler=scheduler.address, security=keys, dashboard=place).save(path)
        try:
            await _until_nobody_comes(scheduler, told)
        finally:
            path.unlink(missing_ok=True)


async def _until_nobody_comes(scheduler: Any, told: asyncio.Event) -> None:
    seen = time.monotonic()
    while not told.is_set() and time.monotonic() - seen < ALONE_S:
        if len(scheduler.clients) > 1:  # one is Dask's own, for tasks that nobody waits for
            seen = time.monotonic()
        await asyncio.sleep(1.0)


if __name__ == "__main__":
    main()
