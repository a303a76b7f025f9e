"""`campaign cancel`: ask the driver, wherever it runs, to stop."""

from __future__ import annotations

from pathlib import Path

import click

from campaign.cli.output import campaign_argument, json_option, write, write_json
from campaign.cli.output import command as new_command

NOBODY = "no driver is running on this campaign: nothing to stop"


@new_command("cancel")
@campaign_argument
@click.option("--now", is_flag=True, help="Do not wait for running blocks; they run again after `resume`.")
@json_option
def command(directory: str, now: bool, as_json: bool) -> None:
    """Ask the driver of a campaign to stop.

    Published results are kept, and `campaign resume` continues. The driver may run on another machine. If no driver
    is running there is nothing to stop, and the exit code is 0.

    \b
    Example:
      campaign cancel results/first
      campaign cancel results/first --now
    """
    from campaign.drive.doors import request_stop
    from campaign.store.stop import CANCEL, DRAIN

    mode = CANCEL if now else DRAIN
    is_at_work = request_stop(directory, mode)
    if as_json:
        payload = {"directory": str(Path(directory).resolve()), "mode": mode, "is_at_work": is_at_work}
        write_json("cancel", payload)
    elif not is_at_work:
        write(NOBODY)
        write(f"next: campaign status {directory}")
    else:
        write("asked to cancel" if now else "asked to drain: running blocks finish or write a checkpoint")
        write(f"next: campaign status {directory}")
