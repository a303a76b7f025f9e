"""`campaign retry`: failed runs, once more."""

from __future__ import annotations

import click

from campaign.cli.output import campaign_argument, talk, write, write_json
from campaign.cli.output import command as new_command
from campaign.cli.running import drive, execution_options


@new_command("retry")
@campaign_argument
@click.argument("runs", nargs=-1)
@click.option("--where", metavar="CONDITION", help="Only failed runs that match, such as 'outcome == \"nonfinite\"'.")
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    help="Only runs that ended so: error, oom, timeout, lost, nonfinite, diverged, or nonconverged (counts as ok).",
)
@click.option(
    "--factor",
    type=click.FloatRange(1, 1000),
    help="Times as much time for `timeout`, steps for `nonconverged`; default: the manifest's, or 2.",
)
@click.option("--plan-only", is_flag=True, help="Only plan them; `campaign resume` runs them.")
@execution_options
@click.pass_context
def command(
    ctx: click.Context,
    directory: str,
    runs: tuple[str, ...],
    where: str | None,
    kinds: tuple[str, ...],
    factor: float | None,
    plan_only: bool,
    executor: str | None,
    workers: int | None,
    profile: str | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Run failed runs again.

    Retries all failed runs, or those whose ids begin with RUNS. Run ids stay the same, and the new attempt replaces the
    old one. Runs that ran out of time get more time; runs that ran out of steps (--kind nonconverged) get more steps.
    The manifest's `retry` does the same automatically.

    \b
    Example:
      campaign retry results/first
      campaign retry results/first 3f2a 9c01
      campaign retry results/first --where 'outcome == "error"'
      campaign retry results/first --kind timeout --factor 4
    """
    from campaign.cli.selection import select_runs
    from campaign.drive.doors import resume, retry

    state = "done" if kinds else "failed"  # runs that did not converge count as ok
    chosen = select_runs(directory, state=state, where=where, ids=runs)["run_id"].to_pylist()
    n = retry(directory, chosen, kinds=kinds, factor=factor) if chosen else 0
    if n == 0 or plan_only:
        if as_json:
            write_json("retry", {"n_retried": n})
        else:
            write("no run fits" if n == 0 else f"{n} runs planned again; next: campaign resume {directory}")
        return
    talk(f"{n} runs planned again")

    def call(**hooks):
        return resume(directory, executor=executor, workers=workers, profile=profile, **hooks)

    ctx.exit(drive("retry", call, is_quiet=quiet or as_json, as_json=as_json))
