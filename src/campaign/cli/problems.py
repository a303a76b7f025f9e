"""`campaign problems`: what can be named under `problem`."""

from __future__ import annotations

import math
from typing import Any

import click

from campaign.cli import listing
from campaign.cli.options_table import describe, print_plugin
from campaign.cli.output import command as new_command
from campaign.cli.output import guarded_stdout, json_option, table, talk, write, write_json


@new_command("problems")
@click.argument("name", required=False)
@click.option("--set", "settings", metavar="OPTION=VALUE", multiple=True, help="Parameters for this option value.")
@json_option
def command(name: str | None, settings: tuple[str, ...], as_json: bool) -> None:
    """List problems, or the options and parameters of one.

    The parameters may depend on options, which --set gives.

    \b
    Example:
      campaign problems
      campaign problems decay
      campaign problems cosmology --set model=pbuf
    """
    from campaign.registry import PROBLEMS, load

    if name is None:
        listing.show("problems", PROBLEMS, as_json)
        return
    plugin = load(PROBLEMS, name)
    options = describe(plugin)
    parameters, reason = _parameters(plugin, settings)
    if as_json:
        head = {"name": plugin.name, "version": plugin.version, "description": plugin.description}
        write_json("problems", {**head, "options": options, "parameters": parameters})
        return
    print_plugin(plugin, options)
    write()
    if parameters is None:
        talk(f"parameters: not known without more options ({reason})")
        return
    header = ("parameter", "unit", "initial", "lower", "upper", "moves", "prior", "description")
    keys = ("name", "unit", "initial", "lower", "upper", "free", "prior", "description")
    rows = [[_cell(parameter[key]) for key in keys] for parameter in parameters]
    write(table(header, rows, right=(2, 3, 4)))


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else (f"{value:.6g}" if isinstance(value, float) else str(value))


def _parameters(plugin: Any, settings: tuple[str, ...]) -> tuple[list[dict[str, Any]] | None, str]:
    """The parameters, or None and why they are not known."""
    from pydantic import ValidationError

    from campaign.errors import CampaignError, InvalidValue
    from campaign.registry import load_reference

    given = dict(_setting(text) for text in settings)
    try:
        options = plugin.options(**given)
        with guarded_stdout():
            space = plugin.space(options) if plugin.space else load_reference(plugin.build)(options).space
    except ValidationError as error:
        found = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        if given:
            raise InvalidValue(f"--set: {found}", hint=f"see `campaign problems {plugin.name}`") from None
        return None, found
    except CampaignError as error:
        if given:
            raise
        return None, error.message
    return [_record(parameter) for parameter in space.parameters], ""


def _record(parameter: Any) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "unit": parameter.unit,
        "initial": float(parameter.initial),
        "lower": parameter.lower if math.isfinite(parameter.lower) else None,
        "upper": parameter.upper if math.isfinite(parameter.upper) else None,
        "free": parameter.free,
        "transform": parameter.transform,
        "prior": None if parameter.prior is None else str(parameter.prior),
        "description": parameter.description,
    }


def _setting(text: str) -> tuple[str, Any]:
    """``option=value``; the value is JSON, or else a string."""
    from campaign.errors import UsageError
    from campaign.store.records import loads

    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UsageError(f"--set {text}: not of the form OPTION=VALUE", hint="for example --set model=pbuf")
    try:
        return name, loads(value)
    except ValueError:
        return name, value
