"""`campaign resume`: go on where the directory says it stands."""

from __future__ import annotations

import click

from campaign.cli.output import campaign_argument
from campaign.cli.output import command as new_command
from campaign.cli.running import drive, execution_options


@new_command("resume")
@campaign_argument
@execution_options
@click.option("--detach", is_flag=True, help="Return at once; the driver goes on in the background.")
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
) -> None:
    """Go on with a campaign that was stopped.

    What is on disk decides what is left to do. It may run elsewhere, with another executor, than before.

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
    from campaign.orchestrate import resume

    def call(**hooks):
        return resume(directory, executor=executor, workers=workers, profile=profile, **hooks)

    ctx.exit(drive("resume", call, is_quiet=quiet or as_json, as_json=as_json))
