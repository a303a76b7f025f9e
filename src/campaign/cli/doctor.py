"""`campaign doctor`: is this machine fit to run campaigns."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from campaign.cli.output import command as new_command
from campaign.cli.output import json_option, write, write_json

_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


@new_command("doctor")
@click.option(
    "-d",
    "--directory",
    type=click.Path(file_okay=False),
    default=".",
    help="Where campaigns would be stored.",
)
@json_option
@click.pass_context
def command(ctx: click.Context, directory: str, as_json: bool) -> None:
    """Check this machine: devices, file system, data files.

    Each line says ok, warn or fail, and how to fix it. The exit code is 6 if a check fails.

    \b
    Example:
      campaign doctor
      campaign doctor -d /scratch/me
    """
    from campaign.cli import checks

    found = [
        *checks.python(),
        *checks.devices(),
        *checks.plugins(),
        *checks.file_system(Path(directory)),
        *checks.data_files(),
        *checks.ports(),
        *checks.cluster(),
    ]
    worst = next((level for level in (checks.FAIL, checks.WARN) if any(f.level == level for f in found)), checks.OK)
    if as_json:
        write_json("doctor", {"worst": worst, "checks": [asdict(finding) for finding in found]})
    else:
        for finding in found:
            level = click.style(f"{finding.level:4}", fg=_COLOURS[finding.level])
            write(f"{level}  {finding.check:18}  {finding.message}")
            if finding.fix:
                write(f"{'':26}→ {finding.fix}")
    ctx.exit(6 if worst == checks.FAIL else 0)
