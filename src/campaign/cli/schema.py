"""`campaign schema`: the JSON Schema of manifests, for editors."""

from __future__ import annotations

import click

from campaign.cli.output import command as new_command
from campaign.cli.output import json_option, write


@new_command("schema")
@click.argument("name", required=False)
@json_option
def command(name: str | None, as_json: bool) -> None:
    """Print the JSON Schema of manifests.

    With the NAME of a problem or an engine, prints the schema of its options; with `meta`, that of the meta.json of an
    exported run. The output is always JSON.

    \b
    Example:
      campaign schema > campaign.schema.json
      campaign schema trf
    """
    from campaign.store.records import dumps_pretty

    write(dumps_pretty(_schema(name)).decode().rstrip())


def _schema(name: str | None) -> dict:
    if name == "meta":
        from campaign.analysis.run_meta import meta_schema

        return meta_schema()
    return _manifest_schema() if name is None else _options_schema(name)


def _manifest_schema() -> dict:
    from campaign.manifest.schema import manifest_schema

    return manifest_schema()


def _options_schema(name: str) -> dict:
    from campaign.errors import UnknownName, nearest
    from campaign.registry import ENGINES, PROBLEMS, load, names

    for group in (PROBLEMS, ENGINES):
        if name in names(group):
            return load(group, name).options.model_json_schema()
    known = (*names(PROBLEMS), *names(ENGINES))
    raise UnknownName(f"unknown problem or engine `{name}`", hint=nearest(name, known))
