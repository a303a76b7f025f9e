"""What an earlier driver left at work is ended, or adopted, before the next one repairs or computes anything.

Two things can be at work without a driver: jobs in the queue (an array, pilots, their scheduler, a driver that has not
begun) and blocks in worker processes. Jobs are removed, unless the next executor comes back to exactly those. Blocks
that the journals say are under way are asked to stop at their next chunk, and waited for.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from campaign.analysis.journal import Journal
from campaign.drive.detach import note_driving, retire_driver_job, waiting_driver_job
from campaign.execute.pilots.jobs import retire_pilots
from campaign.execute.queue.array import array_is_queued, retire_array
from campaign.store.events import EventLog
from campaign.store.layout import Layout
from campaign.store.lease import holder
from campaign.store.owner import is_writer_surely_dead
from campaign.store.stop import CANCEL, DRAIN, clear_stop, request_stop

if TYPE_CHECKING:
    from campaign.manifest.model import Execution

LOOK_S = 0.5
QUIET_S = 20.0  # for blocks on other machines to reach their next chunk; double work is harmless, so no longer


def take_over(layout: Layout, execution: Execution) -> bool:
    """End what is at work on a campaign. Called with the lease held, before anything is changed; `resume` means it, so
    an existing request to stop is withdrawn.

    Returns:
        Whether nothing is running any more. False: a job array continues, and this driver will adopt it.
    """
    note_driving(layout)
    clear_stop(layout)
    if execution.executor == "slurm-array" and array_is_queued(layout):
        return False
    comes_back = execution.executor == "dask-slurm" and execution.options.get("scheduler") == "job"
    retire_array(layout)
    if not comes_back:
        retire_pilots(layout)
    journal = Journal.of(layout)
    if _under_way(journal):
        request_stop(layout, DRAIN, "another driver takes over")
        until = time.monotonic() + QUIET_S
        while (left := _under_way(journal)) and time.monotonic() < until:
            time.sleep(LOOK_S)
        clear_stop(layout)
        with EventLog(layout) as events:
            events.append("taken_over", n_blocks_left=left)
    return True


def _under_way(journal: Journal) -> int:
    """Blocks that were begun since a driver last said that it ended, and whose worker may be alive."""
    journal.update()
    return sum(not is_writer_surely_dead(writer) for _, writer in journal.open_blocks())


def stop(layout: Layout, mode: str) -> bool:
    """Ask the driver of a campaign to stop: its driver, wherever it runs, or what a dead driver left in the queue.

    Returns:
        Whether anybody is at work.
    """
    driver = holder(layout)
    is_driven = driver is not None and not driver.is_stale
    waiting = waiting_driver_job(layout, is_driven=is_driven)
    has_array = not is_driven and array_is_queued(layout)
    if not is_driven and not has_array and waiting is None:
        return False
    request_stop(layout, mode, "asked by a person")
    if waiting is not None:
        retire_driver_job(layout, waiting)
    if not is_driven and mode == CANCEL:
        retire_array(layout)
    return True
