"""`campaign show`: one run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import click

from campaign.cli.numbers import duration, measurement
from campaign.cli.output import campaign_argument, json_option, pairs, strong, write, write_json
from campaign.cli.output import command as new_command
from campaign.cli.printed import printed, show_printed

_AXES = ("problem.", "engine.", "start.", "scale.", "tag.")


@new_command("show")
@campaign_argument
@click.argument("run", default="last")
@click.option("--stage", help="The stage, if the run is in several.")
@json_option
def command(directory: str, run: str, stage: str | None, as_json: bool) -> None:
    """Show everything known about one run.

    RUN is the beginning of its id, or `last`.

    \b
    Example:
      campaign show results/first 3f2a
      campaign show results/first last --json
    """
    from campaign.analysis.handle import open_campaign
    from campaign.analysis.select import find, read_record

    layout = open_campaign(directory).layout
    found = find(layout, run, stage=stage)
    record = read_record(layout, found)
    axes = _axes(layout, found)
    program = _program(layout, found)
    if as_json:
        output = printed(layout, found)
        write_json("show", {"run": asdict(found), "axes": axes, "record": record, "program": program, "output": output})
        return
    write(f"{strong(found.run_id)}  stage {found.stage}, attempt {found.attempt}")
    if axes:
        write(pairs((path, value) for path, value in axes.items()))
    write()
    if record is None:
        write("not finished")
    else:
        _print_record(record, program)
        if record["status"] == "failed" and (output := printed(layout, found)) is not None:
            show_printed(layout, found, output)
    write()
    write(f"trace   {layout.trace_group(found.stage, found.program)}, row {found.row}")
    write(f"next: campaign export {directory} {found.run_id[:12]}")


def _axes(layout: Any, run: Any) -> dict[str, Any]:
    """What the run's row of the plan sets."""
    import pyarrow.parquet as pq

    from campaign.store import plan

    part = plan.latest_part(layout, run.stage)
    path = layout.plan_rows(run.stage, part)
    names = [name for name in pq.read_schema(path).names if name.startswith(_AXES) or name in ("label", "replicate")]
    rows = pq.read_table(path, columns=names, filters=[("run_id", "=", run.run_id)]).to_pylist()
    return {name: value for name, value in (rows[0] if rows else {}).items() if value is not None}


def _program(layout: Any, run: Any) -> dict[str, Any]:
    """What the run's program reports; empty before it has run."""
    from campaign.store.records import read_json

    try:
        return read_json(layout.program(run.stage, run.program))
    except FileNotFoundError:
        return {}


def _print_record(record: Mapping[str, Any], program: Mapping[str, Any]) -> None:
    units = {p["name"]: p.get("unit", "") for p in program.get("parameters", ())}
    moved = {p["name"] for p in program.get("parameters", ()) if p.get("free", True)}
    write(f"{record['status']}: {record['outcome']}" + (f", {record['message']}" if record["message"] else ""))
    facts = [
        ("loss", f"{_number(record['loss'])}, from {_number(record['loss_initial'])}"),
        ("rows held", record.get("rows_held")),
        ("steps", f"{record['n_steps']}, {record['n_evaluations']} evaluations"),
        ("time", f"{duration(record.get('runtime_s'))} on {record.get('host')} ({record.get('device')})"),
    ]
    write(pairs(facts))
    for name, value in record["theta"].items():
        text = measurement(value, record["stderr"].get(name), units.get(name, ""))
        write(f"  {name:14} {text}" + ("" if name in moved or not moved else "  (fixed)"))
    derived_units = program.get("derived", {})
    for name, value in record["derived"].items():
        write(f"  {name:14} {measurement(value, None, derived_units.get(name, ''))}  (derived)")
    for name, value in record["metric"].items():
        write(f"  {name:14} {_number(value)}  (metric)")
    for key in ("bounds_reached", "unidentified", "nonfinite"):
        if record.get(key):
            write(f"{key.replace('_', ' ')}: {', '.join(record[key])}")
    for key, text in record.get("failure", {}).items():
        if key != "message" and text.strip():
            write(f"{key.replace('_', ' ')}:")
            write("\n".join(f"  {line}" for line in text.strip().splitlines()))


def _number(value: float | None) -> str:
    return "undetermined" if value is None else f"{value:.6g}"
