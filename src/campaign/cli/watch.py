"""`campaign watch`: the status, redrawn."""

from __future__ import annotations

import sys
import time

import click

from campaign.cli.output import campaign_argument, write
from campaign.cli.output import command as new_command
from campaign.cli.status import render

_ENDED = ("complete", "paused", "stopped", "not planned")


@new_command("watch")
@campaign_argument
@click.option("--every", type=click.FloatRange(0.1), default=2.0, show_default=True, help="Seconds between looks.")
@click.option("--once", is_flag=True, help="Look once.")
def command(directory: str, every: float, once: bool) -> None:
    """The status, redrawn until the campaign ends.

    Each look costs what has changed since the last. Ctrl-C leaves the campaign alone.

    \b
    Example:
      campaign watch results/first
    """
    from campaign.analysis.handle import open_campaign
    from campaign.analysis.status import Watcher

    watcher = Watcher(open_campaign(directory).layout)
    is_terminal = sys.stdout.isatty()
    while True:
        status = watcher.status()
        if is_terminal:
            sys.stdout.write("\x1b[H\x1b[2J")
        write(render(status, directory))
        if once or status.state in _ENDED:
            return
        if not is_terminal:
            write()
        try:
            time.sleep(every)
        except KeyboardInterrupt:
            return
