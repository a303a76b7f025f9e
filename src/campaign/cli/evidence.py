"""`campaign evidence`: which model the data prefer."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from campaign.cli.numbers import count, measurement
from campaign.cli.output import campaign_argument, json_option, table, talk, write, write_json
from campaign.cli.output import command as new_command

if TYPE_CHECKING:
    from campaign.analysis.evidence_table import RunEvidence

_LIMIT = 50


@new_command("evidence")
@campaign_argument
@click.option("--stage", help="Only runs of this stage.")
@click.option("--limit", type=click.IntRange(0), default=_LIMIT, show_default=True, help="0 for no limit.")
@json_option
def command(directory: str, stage: str | None, limit: int, as_json: bool) -> None:
    """Compare models: ln Z of each, and ln B against the best.

    Runs of `nested` have an evidence with an error. The best fit of each model has one by Laplace's approximation,
    without an error. Only models of the same data compare.

    \b
    Example:
      campaign evidence results/first
      campaign evidence results/first --stage nested --json
    """
    from campaign.analysis.evidence_table import evidence_table
    from campaign.analysis.handle import open_campaign

    found = evidence_table(open_campaign(directory), stage)
    if as_json:
        write_json("evidence", {"n_runs": len(found), "runs": [asdict(one) for one in found]})
        return
    if not found:
        talk("no run has an evidence: run the engine `nested`, or a fit with errors of parameters that have priors")
        return
    shown = found[:limit] if limit else found
    rows = [_row(one) for one in shown]
    write(table(("stage", "model", "ln Z", "method", "ln B", "run", "note"), rows))
    if len(shown) < len(found):
        talk(f"{count(len(shown))} of {count(len(found))} runs; --limit 0 shows all")


def _row(one: RunEvidence) -> tuple[str, ...]:
    own = one.evidence
    model = ", ".join([one.problem, *(f"{axis.partition('.')[2]} {value}" for axis, value in one.axes.items())])
    value = "none" if own.log_evidence is None else measurement(own.log_evidence, own.stderr)
    factor = "" if own.log_bayes_factor is None else measurement(own.log_bayes_factor, own.bayes_stderr)
    return one.stage, model, value, own.method, factor, one.run_id[:12], own.note
