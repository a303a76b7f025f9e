"""The plug-ins of an entry-point group, one line each."""

from __future__ import annotations

from typing import Any

from campaign.cli.output import table, talk, write, write_json


def show(command: str, group: str, as_json: bool) -> None:
    """List a group. A plug-in that cannot be imported is listed with its reason and does not hide the others."""
    records = [_record(group, name) for name in _names(group)]
    if as_json:
        write_json(command, {command: records})
        return
    rows = [(r["name"], r["version"], r["description"]) for r in records if not r["error"]]
    write(table(("name", "version", "description"), rows))
    for record in records:
        if record["error"]:
            talk(f"warning: {record['error']}")


def _names(group: str) -> tuple[str, ...]:
    from campaign.registry import names

    return names(group)


def _record(group: str, name: str) -> dict[str, Any]:
    from campaign.errors import CampaignError
    from campaign.registry import load

    try:
        plugin = load(group, name)
    except CampaignError as error:
        return {"name": name, "version": None, "description": None, "error": error.message}
    return {"name": name, "version": plugin.version, "description": plugin.description, "error": None}
