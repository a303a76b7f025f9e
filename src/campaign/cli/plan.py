"""`campaign plan`: what a submission would do."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from campaign.cli.manifests import set_option, with_all_findings
from campaign.cli.numbers import count, counted, size
from campaign.cli.output import command as new_command
from campaign.cli.output import guarded_stdout, json_option, pairs, strong, table, write, write_json

if TYPE_CHECKING:
    from campaign.drive.doors import StagePlan

_MAX_PROGRAMS = 8


@new_command("plan")
@click.argument("manifest", type=click.Path(exists=True, dir_okay=False))
@click.option(
    "-d", "--directory", type=click.Path(file_okay=False), help="Directory of the campaign; default: results/<name>."
)
@click.option("--programs", "all_programs", is_flag=True, help="List every program.")
@set_option
@json_option
def command(manifest: str, directory: str | None, all_programs: bool, settings: tuple[str, ...], as_json: bool) -> None:
    """Show exactly what a submission would do, without doing it.

    Counts the runs that are new, done or removed compared with the directory, the programs to compile, and the
    blocks, files and bytes to expect.

    \b
    Example:
      campaign plan manifest.json
      campaign plan manifest.json -d results/first --json
    """
    from campaign.drive.doors import plan

    with guarded_stdout():
        stages = with_all_findings(manifest, settings, lambda: plan(manifest, directory, settings=settings))
    if as_json:
        write_json("plan", {"stages": [asdict(stage) for stage in stages]})
        return
    write("\n\n".join(render(stage, all_programs=all_programs) for stage in stages))
    place = (f" -d {directory}" if directory else "") + "".join(f" --set {shlex.quote(s)}" for s in settings)
    write(f"\nnext: campaign submit {manifest}{place}")


def render(stage: StagePlan, *, all_programs: bool = False) -> str:
    """A stage's plan as text."""
    waiting = stage.n_runs - stage.n_new - stage.n_done
    runs = [f"{count(stage.n_new)} new", f"{count(stage.n_done)} done"]
    runs += [f"{count(waiting)} planned and not finished"] if waiting else []
    runs += [f"{count(stage.n_removed)} removed (kept on disk)"] if stage.n_removed else []
    points = [f"{count(stage.n_points)} point{'' if stage.n_points == 1 else 's'}"]
    points += [f"{count(stage.n_excluded)} excluded"] if stage.n_excluded else []
    points += [f"{count(stage.n_duplicates)} duplicates"] if stage.n_duplicates else []
    facts = [
        ("runs", f"{count(stage.n_runs)}: {', '.join(runs)}"),
        ("from", ", ".join(points)),
        ("starts", f"from the results of `{stage.waits_for}`; run ids follow from them" if stage.waits_for else None),
        *(("continues", f"{counted(n, 'run')} from step {count(steps)}") for steps, n in stage.continued.items()),
        ("compile", _programs(stage)),
        ("write", _cost(stage)),
        *(("warning", text) for text in stage.warnings),
    ]
    lines = [strong(stage.stage), pairs(facts)]
    if stage.programs and (all_programs or 1 < len(stage.programs) <= _MAX_PROGRAMS):
        rows = [(name, *(count(n) for n in entry.values())) for name, entry in stage.programs.items()]
        lines.append(table(("program", "runs", "blocks", "runs a block"), rows, right=(1, 2, 3)))
    return "\n".join(lines)


def _programs(stage: StagePlan) -> str | None:
    if stage.waits_for:
        return None
    n = len(stage.programs)
    gangs = f", {count(stage.ranks_per_block)} processes a block" if stage.ranks_per_block > 1 else ""
    return f"{counted(n, 'program')}, {counted(stage.n_blocks, 'block')}{gangs}" if n else "nothing"


def _cost(stage: StagePlan) -> str | None:
    if stage.cost is None:
        return None
    parts = (f"traces {size(stage.cost.trace_bytes)} uncompressed", f"summaries {size(stage.cost.summary_bytes)}")
    return f"at most {count(stage.cost.n_files)} files: {', '.join(parts)}" if stage.n_new else "nothing"
