"""`campaign watch`: the status, redrawn."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import TYPE_CHECKING

import click

from campaign.cli.output import campaign_argument, talk, write, write_json_line
from campaign.cli.output import command as new_command
from campaign.cli.status import render, status_document

if TYPE_CHECKING:
    from campaign.analysis.handle import Handle

_ENDED = ("complete", "paused", "stopped", "not planned")


@new_command("watch")
@campaign_argument
@click.option("--every", type=click.FloatRange(0.1), default=2.0, show_default=True, help="Seconds between looks.")
@click.option("--once", is_flag=True, help="Show it once.")
@click.option("--json", "as_json", is_flag=True, help="One line of JSON on stdout per update.")
def command(directory: str, every: float, once: bool, as_json: bool) -> None:
    """Show the status, redrawn until the campaign ends.

    Also waits for a campaign that is not planned yet. An update reads only what has changed. Ctrl-C does
    not affect the campaign.

    \b
    Example:
      campaign watch results/first
      campaign watch results/first --json --every 60
    """
    with contextlib.suppress(KeyboardInterrupt):
        _watch(directory, every, once, as_json)


def _watch(directory: str, every: float, once: bool, as_json: bool) -> None:
    from campaign.analysis.handle import open_campaign
    from campaign.analysis.status import Watcher

    watcher = Watcher((open_campaign(directory) if once else _begun(directory, every)).layout)
    is_terminal = sys.stdout.isatty()
    while True:
        status = watcher.status()
        if as_json:
            write_json_line("status", status_document(status, watcher.layout))
        else:
            if is_terminal:
                sys.stdout.write("\x1b[H\x1b[2J")
            write(render(status, directory))
        if once or status.state in _ENDED:
            return
        if not is_terminal and not as_json:
            write()
        time.sleep(every)


def _begun(directory: str, every: float) -> Handle:
    """The campaign, once its driver's job has begun; until then what is known of that job, when it changes."""
    from campaign.analysis.handle import open_campaign
    from campaign.errors import Incomplete

    said = ""
    while True:
        try:
            return open_campaign(directory)
        except Incomplete as error:
            if str(error) != said:
                said = str(error)
                talk(said)
        time.sleep(every)
