"""`campaign logs`: what happened."""

from __future__ import annotations

import time
from typing import Any

import click

from campaign.cli.event_words import words
from campaign.cli.output import campaign_argument, json_option, write, write_json
from campaign.cli.output import command as new_command
from campaign.cli.printed import printed, show_printed


@new_command("logs")
@campaign_argument
@click.argument("run", required=False)
@click.option(
    "-n", "--limit", type=click.IntRange(0), default=50, show_default=True, help="The last events; 0 for all."
)
@click.option("--event", "kinds", multiple=True, help="Only events of this kind, such as block_lost.")
@json_option
def command(directory: str, run: str | None, limit: int, kinds: tuple[str, ...], as_json: bool) -> None:
    """Show what happened: events, and messages of failed runs.

    With RUN, the beginning of a run id: the events of its block, the run's message, and what its code printed.

    \b
    Example:
      campaign logs results/first
      campaign logs results/first --event block_lost
      campaign logs results/first 3f2a
    """
    from campaign.analysis.handle import open_campaign
    from campaign.analysis.select import find
    from campaign.store.events import read_events

    layout = open_campaign(directory).layout
    events = read_events(layout)
    message = output = found = None
    if run is not None:
        found = find(layout, run)
        events, message = _of_run(layout, found, events)
        output = printed(layout, found)
    if kinds:
        events = [event for event in events if event["event"] in kinds]
    shown = events[-limit:] if limit else events
    files = sorted(str(path) for path in layout.logs.glob("*.log")) if layout.logs.is_dir() else []
    if as_json:
        said = {"message": message, "output": output, "files": files}
        write_json("logs", {"n_events": len(events), "events": shown, **said})
        return
    for event in shown:
        write(_line(event))
    if message is not None:
        write(f"the run says: {message}")
    if output is not None:
        show_printed(layout, found, output)
    for path in files:
        write(f"log  {path}")


def _of_run(layout: Any, run: Any, events: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], str | None]:
    """The events of a run's block, and the run's own message."""
    from campaign.analysis.select import read_record

    place = {"stage": run.stage, "part": run.part, "block": run.block}
    own = [event for event in events if all(event.get(key) == value for key, value in place.items())]
    record = read_record(layout, run)
    said = "not finished" if record is None else f"{record['status']}, {record['outcome']}: {record['message'] or '–'}"
    return own, said


def _line(event: dict[str, Any]) -> str:
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(event["t"]))
    return f"{when}  {event['event']:17} {words(event)}"
