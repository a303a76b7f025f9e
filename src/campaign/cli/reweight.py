"""`campaign reweight`: a posterior with other data or priors, from the draws at hand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from campaign.cli.numbers import count, measurement
from campaign.cli.output import campaign_argument, guarded_stdout, json_option, pairs, table, talk, write, write_json
from campaign.cli.output import command as new_command

if TYPE_CHECKING:
    from campaign.reweighting import ReweightedRun

_DRAWS, _LEAST = 10_000, 100.0  # those of `campaign.reweighting`, whose import is slow


@new_command("reweight")
@campaign_argument
@click.argument("run", default="last")
@click.option(
    "--set", "changes", metavar="OPTION=JSON", multiple=True, help="An option of the problem, changed; repeatable."
)
@click.option(
    "--prior", "priors", metavar="NAME=MEAN,SD", multiple=True, help="Multiply with a prior, or NAME=JSON; repeatable."
)
@click.option("--draws", type=click.IntRange(100), default=_DRAWS, show_default=True, help="Draws to evaluate.")
@click.option(
    "--least", type=click.FloatRange(1), default=_LEAST, show_default=True, help="Effective draws to ask for."
)
@click.option("-o", "--output", metavar="ROOT", help="Write the weighted draws for GetDist: ROOT.txt, ROOT.paramnames.")
@json_option
def command(
    directory: str,
    run: str,
    changes: tuple[str, ...],
    priors: tuple[str, ...],
    draws: int,
    least: float,
    output: str | None,
    as_json: bool,
) -> None:
    """Re-weight a posterior: other data, other priors.

    RUN is the beginning of the id of a sampler's run, or `last`. Options of its problem are changed by --set; its draws
    are weighted by the ratio of the new posterior to the old one. Where too few of them count, it is refused: sample
    anew. An option that is set replaces the run's; a prior of --prior is multiplied with those of the problem.

    \b
    Example:
      campaign reweight results/posterior 3f2a --set 'data=["cmb", "bao_ani", "sn"]'
      campaign reweight results/posterior 3f2a --prior H0=73.04,1.04 -o with-sh0es
    """
    from campaign.reweighting import as_document, reweight_run, write_weighted

    with guarded_stdout():
        found = reweight_run(
            directory, run, changes=_changes(changes), priors=_priors(priors), n_draws=draws, least=least
        )
    files = [str(path) for path in write_weighted(found, output)] if output else []
    if as_json:
        write_json("reweight", {**as_document(found), "files": files})
        return
    _print(found)
    for name in files:
        write(name)


def _print(found: ReweightedRun) -> None:
    result = found.result
    rows = [
        (
            f"{one.name} [{one.unit}]" if one.unit else one.name,
            measurement(one.mean_before, one.error_before),
            measurement(one.mean, one.error),
            f"{one.low:.6g}",
            f"{one.high:.6g}",
        )
        for one in found.estimates
    ]
    write(table(("parameter", "before", "re-weighted", "16 %", "84 %"), rows))
    write()
    whole = f"{result.n_effective:.0f} of {result.n_independent:.0f} independent ones ({count(len(found.draws))} draws)"
    write(
        pairs(
            [
                ("effective draws", whole),
                ("tail of weights", f"k = {result.tail:.2f}"),
                ("ln Z ratio", found.log_ratio and measurement(found.log_ratio, result.log_ratio_stderr)),
            ]
        )
    )
    if found.n_left_out:
        talk(f"{count(found.n_left_out)} draws have no weight: the new posterior is zero there, or the model fails")
    for note in found.notes:
        talk(f"note: {note}")


def _changes(given: Sequence[str]) -> dict[str, Any]:
    return {name: _json(text, name, given_as="--set") for name, text in map(_pair, given)}


def _priors(given: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, text in map(_pair, given):
        words = text.split(",")
        try:
            found[name] = {"normal": [float(word) for word in words]}
        except ValueError:
            found[name] = _json(text, name, given_as="--prior")
    return found


def _pair(text: str) -> tuple[str, str]:
    from campaign.errors import UsageError

    name, sign, value = text.partition("=")
    if not (sign and name.strip()):
        raise UsageError(f"`{text}` is no NAME=VALUE", hint="""--set 'data=["cmb", "sn"]', --prior H0=73.04,1.04""")
    return name.strip(), value


def _json(text: str, name: str, *, given_as: str) -> Any:
    from campaign.errors import UsageError

    try:
        return json.loads(text)
    except ValueError:
        raise UsageError(
            f"{given_as} {name}={text} is no JSON", hint="""words go in double quotes: --set 'model="wcdm"'"""
        ) from None
