"""`campaign evidence`: which model the data prefer."""

from __future__ import annotations

import json
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
    without an error. Only models of the same data compare: ln B is against the best of them.

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
    differing = _differing(found)
    rows = [(one.stage, *([_data(one, differing)] if differing else []), *_row(one)) for one in shown]
    head = ("stage", *(["data"] if differing else []), "model", "ln Z", "method", "ln B", "run", "note")
    write(table(head, rows))
    if len(shown) < len(found):
        talk(f"{count(len(shown))} of {count(len(found))} runs; --limit 0 shows all")


def _row(one: RunEvidence) -> tuple[str, ...]:
    own = one.evidence
    model = ", ".join([one.problem, *(f"{axis.partition('.')[2]} {value}" for axis, value in one.axes.items())])
    value = "none" if own.log_evidence is None else measurement(own.log_evidence, own.stderr)
    factor = "" if own.log_bayes_factor is None else measurement(own.log_bayes_factor, own.bayes_stderr)
    return model, value, own.method, factor, one.run_id[:12], own.note


def _differing(found: list[RunEvidence]) -> list[str]:
    """Options by which the data of the runs differ."""
    names = dict.fromkeys(name for one in found for name in one.data)
    return [name for name in names if len({json.dumps(one.data.get(name), sort_keys=True) for one in found}) > 1]


def _data(one: RunEvidence, names: list[str]) -> str:
    """Those of one run, as `data cmb + bao_ani`."""
    values = {name: one.data[name] for name in names if one.data.get(name) is not None}
    plain = {k: " + ".join(map(str, v)) if isinstance(v, list) else json.dumps(v) for k, v in values.items()}
    return plain[names[0]] if list(plain) == names[:1] == ["data"] else ", ".join(f"{k} {v}" for k, v in plain.items())
