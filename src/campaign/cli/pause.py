"""`campaign pause`: ask the driver, wherever it runs, to stop until somebody resumes."""

from __future__ import annotations

from pathlib import Path

from campaign.cli.cancel import NOBODY
from campaign.cli.output import campaign_argument, json_option, write, write_json
from campaign.cli.output import command as new_command


@new_command("pause")
@campaign_argument
@json_option
def command(directory: str, as_json: bool) -> None:
    """Ask the driver of a campaign to pause.

    Running blocks finish or write a checkpoint, the driver ends and releases its jobs, and `campaign status` says
    "paused" until `campaign resume`. Only the campaign's directory is needed: the driver may run on another machine.

    \b
    Example:
      campaign pause results/first
      campaign resume results/first
    """
    from campaign.drive.doors import request_stop
    from campaign.store.stop import PAUSE

    is_at_work = request_stop(directory, PAUSE)
    if as_json:
        payload = {"directory": str(Path(directory).resolve()), "mode": PAUSE, "is_at_work": is_at_work}
        write_json("pause", payload)
    elif not is_at_work:
        write(NOBODY)
        write(f"next: campaign status {directory}")
    else:
        write("asked to pause: running blocks finish or write a checkpoint")
        write(f"next: campaign status {directory}")
        write(f"      campaign resume {directory}")
