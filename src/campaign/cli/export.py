"""`campaign export`: one run as plain files, whatever the layout."""

from __future__ import annotations

import click

from campaign.cli.output import campaign_argument, guarded_stdout, json_option, talk, write, write_json
from campaign.cli.output import command as new_command


@new_command("export")
@campaign_argument
@click.argument("run")
@click.option("-o", "--output", type=click.Path(file_okay=False), help="Output folder; default: runs/<run id>.")
@click.option("--artifact", "artifacts", metavar="NAME", multiple=True, help="Also write this file; may be repeated.")
@click.option("--every", type=click.IntRange(1), default=1, help="Of the steps in `steps` and `grads`: one of N.")
@click.option(
    "--signals", metavar="FILE", type=click.Path(exists=True, dir_okay=False), help="Recipes for signals.npz."
)
@click.option("--again", is_flag=True, help="Run it again in this process, with every array recorded.")
@click.option("--force", is_flag=True, help="Replace existing files with other content.")
@json_option
def command(
    directory: str,
    run: str,
    output: str | None,
    artifacts: tuple[str, ...],
    every: int,
    signals: str | None,
    again: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Write one run as plain files.

    Writes trace.npz (its arrays, for NumPy; a chain may be larger than memory), meta.json (what is needed to repeat the
    run) and summary.json. RUN is the beginning of a run id, or `last`. Artifacts are steps, grads, curvature, precond,
    checkpoint_best, checkpoint_final, or all of them.

    \b
    Example:
      campaign export results/first 3f2a -o best
      campaign export results/first 3f2a -o best --artifact all --again
    """
    from campaign.cli.report import read_signals
    from campaign.export.save import ALL, save_run

    recipes = read_signals(signals)[0] if signals else ()
    with guarded_stdout():
        saved = save_run(
            directory,
            run,
            output,
            artifacts=artifacts,
            every=every,
            signals=recipes,
            again=again,
            overwrite=force,
        )
    names = [str(path) for path in saved.files]
    if as_json:
        known = {"run_id": saved.run_id, "files": names, "absent": dict(saved.absent), "left_out": list(saved.left_out)}
        write_json("export", known)
        return
    for name, reason in saved.absent.items():
        if name in artifacts or ALL not in artifacts:
            talk(f"no {name}: {reason}")
    for name in names:
        write(name)
    if saved.left_out:
        talk(f"also recorded: {', '.join(saved.left_out)} (--artifact NAME)")
