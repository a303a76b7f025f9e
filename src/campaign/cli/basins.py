"""`campaign basins`: the minima that the fits of a stage ended in."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import click

from campaign.cli.numbers import measurement
from campaign.cli.output import campaign_argument, json_option, strong, table, write, write_json
from campaign.cli.output import command as new_command

if TYPE_CHECKING:
    from campaign.analysis.basins import Basins

_ENOUGH = 12  # columns of parameters that a line holds


@new_command("basins")
@campaign_argument
@click.option("--stage", help="The stage; the last one by default.")
@click.option("--distance", type=float, default=2.0, show_default=True, help="Standard deviations within one basin.")
@click.option("--same", type=float, default=4.0, show_default=True, help="Δχ² within one basin.")
@click.option("--choice", type=float, default=6.0, show_default=True, help="Δχ² up to which data cannot choose.")
@json_option
def command(directory: str, stage: str | None, distance: float, same: float, choice: float, as_json: bool) -> None:
    """Show which minima the fits of a stage ended in.

    Says as well which of them fit equally well, so that the data cannot choose. Fits of one problem are one basin when
    they are near each other, in their errors, and equally good. Δχ² counts in units of χ²/dof where the errors of the
    data are unknown.

    \b
    Example:
      campaign basins results/first
      campaign basins results/first --stage fit --json
    """
    from dataclasses import asdict

    from campaign.analysis.basins_stage import stage_basins
    from campaign.analysis.handle import open_campaign

    found = stage_basins(open_campaign(directory), stage, distance=distance, same=same, choice=choice)
    if as_json:
        problems = [
            {**{k: v for k, v in asdict(one).items() if k != "basins"}, **one.basins.document()} for one in found
        ]
        write_json("basins", {"problems": problems})
        return
    for one in found:
        about = ", ".join(f"{name.removeprefix('problem.')} {value}" for name, value in one.problem.items())
        failed = f", {one.n_failed} failed" if one.n_failed else ""
        n = len(one.basins.found)
        write(f"{strong(about)}: {n} basin{'' if n == 1 else 's'} of {one.n_fits} fits{failed}")
        names = one.names[:_ENOUGH]
        rows = [
            [
                k,
                len(basin.members),
                f"{basin.chi2:.8g}",
                f"{basin.delta_chi2:.3g}",
                *(_value(basin.theta[name], basin.stderr[name]) for name in names),
                basin.members[0][:12],
            ]
            for k, basin in enumerate(one.basins.found)
        ]
        write(table(["basin", "fits", "chi2", "delta", *names, "best run"], rows, right=(0, 1, 2, 3)))
        if len(one.names) > _ENOUGH:
            write(f"{len(one.names) - _ENOUGH} more parameters: --json")
        for line in _said(one.basins):
            write(line)
        write()


def _value(value: float, error: float) -> str:
    return measurement(value, error) if math.isfinite(error) else f"{value:.6g}"


def _said(basins: Basins) -> list[str]:
    lines = []
    if basins.rivals:
        numbers = ", ".join(str(k) for k in basins.rivals)
        lines.append(f"degenerate: the data cannot choose between basins {numbers}")
    if basins.unsettled:
        lines.append(
            f"not converged, and in no basin: {len(basins.unsettled)} fits; `campaign extend` gives more steps"
        )
    return lines + [f"note: {remark}" for remark in basins.remarks]
