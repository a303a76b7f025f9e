"""`campaign reduce`: the summary table, now."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from campaign.cli.numbers import count, counted, duration
from campaign.cli.output import campaign_argument, json_option, talk, write, write_json
from campaign.cli.output import command as new_command


@new_command("reduce")
@campaign_argument
@json_option
@click.pass_context
def command(ctx: click.Context, directory: str, as_json: bool) -> None:
    """Update the summary table.

    The table has one row per planned run, finished or not. It can be updated while the campaign is running. The exit
    code is 9 if a summary is damaged.

    \b
    Example:
      campaign reduce results/first
    """
    from campaign.analysis.handle import open_campaign
    from campaign.reduce.reducer import reduce

    layout = open_campaign(directory).layout
    report = reduce(layout)
    if as_json:
        write_json("reduce", asdict(report) | {"table": str(Path(layout.table).resolve())})
    else:
        write(f"{counted(report.n_rows, 'run')}, {count(report.n_done)} finished, in {duration(report.seconds)}")
        write(f"table   {layout.table}")
        for damage in report.damaged:
            talk(f"damaged: {damage}")
        if report.damaged:
            talk(f"next: campaign verify {directory} --repair")
    ctx.exit(9 if report.damaged else 0)
