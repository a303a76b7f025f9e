"""`campaign resume`: continue a campaign from what is in its directory."""

from __future__ import annotations

import click

from campaign.cli.output import campaign_argument
from campaign.cli.output import command as new_command
from campaign.cli.running import drive, execution_options


@new_command("resume")
@campaign_argument
@execution_options
@click.option("--detach", is_flag=True, help="Return at once; the driver continues in the background.")
@click.option("--no-check", is_flag=True, help="Do not check for damage first.")
@click.pass_context
def command(
    ctx: click.Context,
    directory: str,
    executor: str | None,
    workers: int | None,
    profile: str | None,
    quiet: bool,
    as_json: bool,
    detach: bool,
    no_check: bool,
) -> None:
    """Continue a campaign that was stopped.

    The files on disk decide what is left to do; damaged results are computed again. You may resume on another machine
    and with another executor.

    \b
    Example:
      campaign resume results/first
      campaign resume results/first --executor dask --workers 4

    Exit codes: as `campaign submit`.
    """
    if detach:
        from campaign.cli.detaching import detach_resume

        detach_resume(directory, executor, workers, profile, as_json=as_json)
        return
    from campaign.drive.doors import resume

    def call(**hooks):
        options = {"executor": executor, "workers": workers, "profile": profile}
        return resume(directory, check=not no_check, **options, **hooks)

    ctx.exit(drive("resume", call, is_quiet=quiet or as_json, as_json=as_json))
