"""`campaign engines`: what can be named under `engine`."""

from __future__ import annotations

import click

from campaign.cli import listing
from campaign.cli.options_table import describe, print_plugin
from campaign.cli.output import command as new_command
from campaign.cli.output import json_option, write_json


@new_command("engines")
@click.argument("name", required=False)
@json_option
def command(name: str | None, as_json: bool) -> None:
    """List engines, or the options of one.

    The column "program" says whether runs with different values share a compiled program.

    \b
    Example:
      campaign engines
      campaign engines trf
    """
    from campaign.registry import ENGINES, load

    if name is None:
        listing.show("engines", ENGINES, as_json)
        return
    plugin = load(ENGINES, name)
    options = describe(plugin)
    if as_json:
        head = {"name": plugin.name, "version": plugin.version, "description": plugin.description}
        write_json("engines", {**head, "samples": plugin.samples, "options": options})
        return
    print_plugin(plugin, options)
