"""`campaign validate`: everything that is wrong with a manifest, at once."""

from __future__ import annotations

import click

from campaign.cli.manifests import set_option, with_all_findings
from campaign.cli.output import command as new_command
from campaign.cli.output import guarded_stdout, json_option, talk, write, write_json


@new_command("validate")
@click.argument("manifest", type=click.Path(exists=True, dir_okay=False))
@set_option
@json_option
def command(manifest: str, settings: tuple[str, ...], as_json: bool) -> None:
    """Check a manifest and report everything that is wrong with it.

    Checks the syntax, the expansion, options, parameters, starts, data files and the execution, and builds the first
    run of every program. Runs nothing. The exit code is 3 if anything is wrong.

    \b
    Example:
      campaign validate manifest.json
    """
    from campaign.drive.doors import validate

    with guarded_stdout():
        checked, stages = with_all_findings(manifest, settings, lambda: validate(manifest, settings=settings))
    names = [stage.stage for stage in stages]
    warnings = [text for stage in stages for text in stage.warnings]
    if as_json:
        payload = {"name": checked.name, "sha256": checked.sha256, "stages": names, "warnings": warnings}
        write_json("validate", payload)
        return
    for text in warnings:
        talk(f"warning: {text}")
    write(
        f"{manifest} is valid: campaign `{checked.name}`, {'stages' if len(names) > 1 else 'stage'} {', '.join(names)}"
    )
    write(f"next: campaign plan {manifest}")
