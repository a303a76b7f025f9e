"""`campaign extend`: more steps for runs that are done."""

from __future__ import annotations

import click

from campaign.cli.output import campaign_argument
from campaign.cli.output import command as new_command
from campaign.cli.running import drive, execution_options


@new_command("extend")
@campaign_argument
@click.option(
    "--steps",
    type=click.IntRange(1),
    required=True,
    help="Steps of each run in total, including those done.",
)
@click.option("--stage", help="Which stage; needed only if several have a number of steps.")
@execution_options
@click.pass_context
def command(
    ctx: click.Context,
    directory: str,
    steps: int,
    stage: str | None,
    executor: str | None,
    workers: int | None,
    profile: str | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Give finished runs more steps.

    Existing steps are kept and only new ones are computed; the results are identical to those of runs with this many
    steps from the beginning. It is the same as raising `engine.steps` in the manifest and submitting it.

    \b
    Example:
      campaign extend results/first --steps 4000
      campaign extend results/first --steps 4000 --stage sample

    Exit codes: as `campaign submit`.
    """
    from campaign.drive.doors import extend

    def call(**hooks):
        return extend(directory, steps, stage=stage, executor=executor, workers=workers, profile=profile, **hooks)

    ctx.exit(drive("extend", call, is_quiet=quiet or as_json, as_json=as_json))
