"""`campaign cancel`: ask the driver, wherever it runs, to stop."""

from __future__ import annotations

from pathlib import Path

import click

from campaign.cli.output import campaign_argument, json_option, write, write_json
from campaign.cli.output import command as new_command


@new_command("cancel")
@campaign_argument
@click.option("--now", is_flag=True, help="Do not wait for blocks in flight; they run again after `resume`.")
@json_option
def command(directory: str, now: bool, as_json: bool) -> None:
    """Ask the driver of a campaign to stop.

    Nothing that is published is lost: `campaign resume` goes on. The driver may run on another machine.

    \b
    Example:
      campaign cancel results/first
      campaign cancel results/first --now
    """
    from campaign.drive.doors import request_stop
    from campaign.store.stop import CANCEL, DRAIN

    mode = CANCEL if now else DRAIN
    request_stop(directory, mode)
    if as_json:
        write_json("cancel", {"directory": str(Path(directory).resolve()), "mode": mode})
    else:
        write("asked to cancel" if now else "asked to drain: blocks in flight finish or checkpoint")
        write(f"next: campaign status {directory}")
