"""`campaign validate`: everything that is wrong with a manifest, at once."""

from __future__ import annotations

import click

from campaign.cli.output import command as new_command
from campaign.cli.output import json_option, write, write_json


@new_command("validate")
@click.argument("manifest", type=click.Path(exists=True, dir_okay=False))
@json_option
def command(manifest: str, as_json: bool) -> None:
    """Check a manifest and name everything that is wrong with it.

    Looks at the text, the expansion, the plug-ins' options, parameters, starts and data files. Runs nothing. Exit code
    3 with findings.

    \b
    Example:
      campaign validate manifest.json
    """
    from campaign.schedule.check import open_manifest

    checked = open_manifest(manifest)
    names = [stage.name for stage in checked.stages]
    if as_json:
        write_json("validate", {"name": checked.name, "sha256": checked.sha256, "stages": names})
        return
    write(
        f"{manifest} is valid: campaign `{checked.name}`, {'stages' if len(names) > 1 else 'stage'} {', '.join(names)}"
    )
    write(f"next: campaign plan {manifest}")
