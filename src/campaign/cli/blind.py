"""`campaign blind`: the key that shifts parameters until they are unblinded."""

from __future__ import annotations

import json
import math

import click

from campaign.cli.output import command as new_command
from campaign.cli.output import json_option, talk, write, write_json


@new_command("blind")
@click.option("--phrase", required=True, help="Secret words: keep them apart from the manifest.")
@click.option(
    "--scale", "scales", metavar="NAME=SIZE", multiple=True, required=True, help="At most this shift; repeatable."
)
@json_option
def command(phrase: str, scales: tuple[str, ...], as_json: bool) -> None:
    """Make the key that shifts parameters until they are unblinded.

    What it prints is the option `blind` of a problem that has one (`cosmology`). Each named parameter is shown with an
    offset between -SIZE and SIZE that follows from the key, in everything that the campaign writes; errors and chi2 are
    those of the truth. `campaign unblind` takes the offsets away again, for who knows the phrase.

    \b
    Example:
      campaign blind --phrase "correct horse battery" --scale H0=3 --scale w0=0.3
    """
    from campaign.blinding import Blind, key_of
    from campaign.errors import UsageError

    sizes: dict[str, float] = {}
    for text in scales:
        name, _, size = text.partition("=")
        try:
            sizes[name.strip()] = float(size)
            is_size = bool(name.strip()) and 0 < sizes[name.strip()] < math.inf
        except ValueError:
            is_size = False
        if not is_size:
            raise UsageError(f"--scale {text} is no NAME=SIZE", hint="--scale H0=3: a number above 0, in its units")
    blind = Blind(key=key_of(phrase), scale=sizes).model_dump()
    if as_json:
        write_json("blind", {"blind": blind})
        return
    write(f'"blind": {json.dumps(blind)}')
    talk("put this into the problem of a manifest; the phrase stands nowhere: keep it")
