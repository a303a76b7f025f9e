"""A block in somebody else's process: what every executor but `inline` sends over."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from campaign.errors import CampaignError, Unavailable
from campaign.execute.devices import DEVICE, gpu_variable
from campaign.execute.stopping import TIME_IS_UP, leave, worker_control
from campaign.registry import load_reference
from campaign.store.layout import BlockTask, Layout
from campaign.work.control import Receipt

RUN_BLOCK = "campaign.work.run_block:run_block"
PILOT_NAME = "CAMPAIGN_PILOT_NAME"  # environment of a worker in a pilot job


_stretches: dict[tuple[str, str], float] = {}  # (directory, stage) → uninterruptible seconds of the last block


class Unfit(Unavailable):
    """This node cannot do the work; others may. `pilot` names the pilot job, where there is one."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.pilot = os.environ.get(PILOT_NAME)


def run_remote(directory: str, task: BlockTask, deadline: float | None = None, work: str = RUN_BLOCK) -> Receipt:
    """Run a block under this worker's own control.

    Args:
        directory: of the campaign, as this host sees it.
        task: which block.
        deadline: seconds of the epoch after which it may not run.
        work: ``"module:function"`` called as ``function(directory, task, control)``.

    Raises:
        Unfit: the directory is not visible here, or the device is not the one that was asked for.
        CampaignError: the work called `sys.exit`.
    """
    from campaign.work.jax_runtime import worker_name

    place = (directory, task.stage)
    control = worker_control(Layout(Path(directory)), deadline, _stretches.get(place, 0.0))
    if control.must_stop():
        reason = control.why()
        if reason == TIME_IS_UP and PILOT_NAME in os.environ:
            leave()  # the keeper replaces its job; elsewhere the driver's own time is up as well
        return Receipt(task=task, state="interrupted", worker=worker_name(), message=reason)
    if not Path(directory).is_dir():
        raise Unfit(
            f"{worker_name()} cannot see the campaign directory {directory}",
            hint="put it on a file system that all workers share, and give the path as they see it",
        )
    check_device(os.environ.get(DEVICE))
    try:
        receipt = load_reference(work)(directory, task, control)
        control.must_stop()  # ends the last stretch
        _stretches[place] = control.stretch_s
        is_cut_short = receipt.state == "interrupted" and not receipt.message
        return replace(receipt, message=control.why()) if is_cut_short else receipt
    except SystemExit as stop:  # a library that calls sys.exit must not take the worker with it
        raise CampaignError(f"block {task.stage}/{task.part}/{task.block} called sys.exit({stop.code!r})") from stop


def check_device(wanted: str | None) -> None:
    """Refuse to compute on another kind of device than the one asked for ("gpu" or "cpu"; None: anything).

    Raises:
        Unfit: a GPU was asked for and JAX has none (or the other way round).
    """
    if not wanted:
        return
    from campaign.work.jax_runtime import device_name, on_cpu, start_jax, worker_name

    start_jax()
    if on_cpu() != (wanted == "cpu"):
        raise Unfit(
            f"{worker_name()} computes on {device_name()}, {wanted} was asked for "
            f"({gpu_variable()}={os.environ.get(gpu_variable(), 'unset')})",
            hint='see `campaign doctor` on that node, or ask for device "cpu" (`execution.options`, or the profile)',
        )
