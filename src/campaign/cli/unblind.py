"""`campaign unblind`: the true values of blinded parameters, recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from campaign.cli.numbers import count, measurement
from campaign.cli.output import campaign_argument, json_option, table, talk, write, write_json
from campaign.cli.output import command as new_command

if TYPE_CHECKING:
    import pandas

_LIMIT = 50


@new_command("unblind")
@campaign_argument
@click.argument("run", required=False)
@click.option("--phrase", required=True, help="The words that the parameters were blinded with.")
@click.option(
    "-o", "--output", metavar="FILE", help="Write the whole table (.parquet, .csv); with RUN a chain for GetDist."
)
@click.option("--limit", type=click.IntRange(0), default=_LIMIT, show_default=True, help="0 for no limit.")
@json_option
def command(directory: str, run: str | None, phrase: str, output: str | None, limit: int, as_json: bool) -> None:
    """Show the true values of blinded parameters, and record that.

    Nothing of the campaign is changed but its journal, which says when and where this was asked (`campaign logs`).
    With RUN, the beginning of a sampler's run id, its true draws are written to -o FILE.

    \b
    Example:
      campaign unblind results/blinded --phrase "correct horse battery"
      campaign unblind results/blinded 3f2a --phrase "correct horse battery" -o chains/true
    """
    from campaign.analysis.handle import open_campaign
    from campaign.analysis.unblinding import unblind
    from campaign.errors import UsageError

    if run is not None and output is None:
        raise UsageError("the draws of a run are written to files", hint="-o ROOT: ROOT_1.txt … for GetDist")
    if run is None and output is not None and not output.endswith((".parquet", ".csv")):
        raise UsageError(f"{output} is neither .parquet nor .csv", hint="-o true.parquet")
    campaign = open_campaign(directory)
    if run is not None:
        campaign.chain(run)  # what is wrong with it is said before anything is recorded
    found = unblind(campaign, phrase)
    if run is not None:
        files = [str(path) for path in found.chain(run).to_getdist(str(output))]
        write_json("unblind", {"files": files}) if as_json else write("\n".join(files))
        return
    frame = found.table()
    names = sorted({name for programs in found.shifts.values() for own in programs.values() for name in own})
    if output is not None:
        _write_table(frame, output)
    runs = _runs(frame, names)
    if as_json:
        write_json("unblind", {"parameters": names, "n_runs": len(runs), "runs": runs, "file": output})
        return
    shown = runs[:limit] if limit else runs
    rows = [(one["stage"], one["run_id"][:12], one["outcome"], *(_cell(one, name) for name in names)) for one in shown]
    write(table(("stage", "run", "outcome", *names), rows))
    if len(shown) < len(runs):
        talk(f"{count(len(shown))} of {count(len(runs))} runs; --limit 0 shows all")


def _runs(frame: pandas.DataFrame, names: list[str]) -> list[dict[str, Any]]:
    columns = ["stage", "run_id", "outcome"]
    columns += [f"{kind}.{n}" for n in names for kind in ("theta", "stderr") if f"{kind}.{n}" in frame]
    found = frame.loc[frame["status"].notna().to_numpy(), columns]
    return [dict(zip(columns, row, strict=True)) for row in found.itertuples(index=False)]


def _cell(row: dict[str, Any], name: str) -> str:
    return measurement(row.get(f"theta.{name}"), row.get(f"stderr.{name}"))


def _write_table(frame: pandas.DataFrame, output: str) -> None:
    from io import BytesIO
    from pathlib import Path

    from campaign.store.atomic import publish_bytes

    buffer = BytesIO()
    frame = frame.copy()
    frame.attrs = {}
    frame.to_csv(buffer, index=False) if output.endswith(".csv") else frame.to_parquet(buffer, index=False)
    publish_bytes(Path(output), buffer.getvalue())
