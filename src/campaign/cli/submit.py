"""`campaign submit`: run what a manifest asks for and is not done yet."""

from __future__ import annotations

from pathlib import Path

import click

from campaign.cli.manifests import set_option
from campaign.cli.output import command as new_command
from campaign.cli.running import drive, execution_options


@new_command("submit")
@click.argument("manifest", type=click.Path(exists=True, dir_okay=False))
@click.option(
    "-d", "--directory", type=click.Path(file_okay=False), help="Directory of the campaign; default: results/<name>."
)
@set_option
@execution_options
@click.option("--detach", is_flag=True, help="Return at once; the driver continues in the background.")
@click.option("--dry-run", is_flag=True, help="Print exactly what would be submitted to the cluster; run nothing.")
@click.pass_context
def command(
    ctx: click.Context,
    manifest: str,
    directory: str | None,
    settings: tuple[str, ...],
    executor: str | None,
    workers: int | None,
    profile: str | None,
    quiet: bool,
    as_json: bool,
    detach: bool,
    dry_run: bool,
) -> None:
    """Run the campaign of a manifest, or what is new in it.

    Shows progress until it is done. The first Ctrl-C lets running blocks finish, the second drops them, the third
    exits; `campaign resume` continues. Runs that are already done are kept.

    \b
    Example:
      campaign submit manifest.json -d results/first
      campaign submit manifest.json -d results/first --executor dask --workers 4
      campaign submit manifest.json -d results/first --set problem.sigma=0.2 --set engine.max_steps=500
      campaign submit manifest.json -d results/first --detach

    Exit codes: 0 done, 4 finished with failed runs, 5 stopped by the failure policy, 7 incomplete.
    """
    if dry_run:
        from campaign.cli.dry_run import print_jobs

        print_jobs(manifest, directory, settings, executor, workers, profile, detach=detach, as_json=as_json)
        return
    if detach:
        from campaign.cli.detaching import detach_submit

        detach_submit(Path(manifest), directory, settings, executor, workers, profile, as_json=as_json)
        return
    from campaign.drive.doors import submit

    def call(**hooks):
        where = {"executor": executor, "workers": workers, "profile": profile}
        return submit(manifest, directory, settings=settings, **where, **hooks)

    ctx.exit(drive("submit", call, is_quiet=quiet or as_json, as_json=as_json))
