"""What `submit`, `resume` and `retry` have in common: options, progress, interruption, the printed result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from campaign.cli.numbers import count, duration
from campaign.cli.output import guarded_stdout, talk, write, write_json

if TYPE_CHECKING:
    from campaign.drive.doors import Report


_PREFLIGHT = "campaign.preflight"  # in the context of a command: False where `--no-preflight` was given


def _note_preflight(ctx: click.Context, option: click.Parameter, is_off: bool) -> None:
    if is_off:
        ctx.meta[_PREFLIGHT] = False


def has_preflight() -> bool | None:
    """What the command line says of the preflight; None where it says nothing."""
    context = click.get_current_context(silent=True)
    return None if context is None else context.meta.get(_PREFLIGHT)


def execution_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Options that say where and how; none of them changes a run."""
    options = (
        click.option("-e", "--executor", help="auto, inline, dask, dask-slurm, mpi, slurm-array."),
        click.option("-w", "--workers", type=click.IntRange(1, 1_000_000), help="Worker processes."),
        click.option("-p", "--profile", help="A profile of the manifest, or a cluster profile."),
        click.option(
            "--no-preflight",
            is_flag=True,
            expose_value=False,
            callback=_note_preflight,
            help="Do not try a run alone before the others go out.",
        ),
        click.option("-q", "--quiet", is_flag=True, help="No progress."),
        click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout."),
    )
    for option in reversed(options):
        function = option(function)
    return function


def drive(command: str, call: Callable[..., Report], *, is_quiet: bool, as_json: bool) -> int:
    """Run a driver in this process and print what came of it.

    Args:
        command: name for the JSON schema.
        call: takes `on_progress`, `control` and `preflight`.

    Returns:
        The exit code.
    """
    from campaign.cli.interrupts import interruptible
    from campaign.cli.progress import reporting
    from campaign.execute.base import Control

    with interruptible(Control()) as control, reporting(is_quiet=is_quiet) as on_progress, guarded_stdout():
        report = call(on_progress=on_progress, control=control, preflight=has_preflight())
    if as_json:
        write_json(command, to_json(report))
    else:
        print_report(report)
    return report.exit_code


def to_json(report: Report) -> dict[str, Any]:
    from campaign.analysis.results import stage_results

    results = [asdict(result) for result in stage_results(report.directory)]
    return asdict(report) | {"directory": str(report.directory), "exit_code": report.exit_code, "results": results}


def print_report(report: Report) -> None:
    """Results on stdout, counts and next commands with them."""
    from campaign.cli.results import print_results
    from campaign.store.layout import Layout

    layout = Layout(report.directory)
    if layout.table.exists():
        print_results(report.directory)
    for text in report.warnings:
        talk(f"warning: {text}")
    for stage in report.stages:
        write(f"{stage.stage}: {_counts(stage)}")
        for text in stage.warnings:
            talk(f"warning: {text}")
    write(f"{report.name}: {report.state} after {duration(report.seconds)}")
    write(f"table   {layout.table}")
    if layout.traces.exists():
        write(f"traces  {layout.traces}")
    for line in _next(report):
        talk(line)


def _counts(stage: Any) -> str:
    parts = [f"{count(stage.n_ok)} ok"]
    if stage.n_failed:
        parts.append(f"{count(stage.n_failed)} failed")
    if stage.n_pending:
        parts.append(f"{count(stage.n_pending)} not finished")
    if stage.n_new != stage.n_runs:
        parts.append(f"{count(stage.n_new)} of {count(stage.n_runs)} new in this plan")
    return ", ".join(parts)


def _next(report: Report) -> list[str]:
    """The commands that make sense now."""
    place = report.directory
    match report.state:
        case "done":
            return [f"next: campaign ls {place}", f"      campaign query {place} 'select * from summary limit 5'"]
        case "failed":
            return [f"next: campaign status {place}", f"      campaign retry {place}"]
        case "paused":
            return [report.reason, f"next: campaign resume {place}"]
        case "stopped":
            return [f"stopped: {report.reason}", f"next: campaign status {place}", f"      campaign resume {place}"]
        case _:
            reason = [f"incomplete: {report.reason}"] if report.reason else []
            return [*reason, f"next: campaign resume {place}"]
