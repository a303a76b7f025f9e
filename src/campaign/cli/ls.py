"""`campaign ls`: runs, one a line."""

from __future__ import annotations

from typing import Any

import click

from campaign.cli.numbers import count
from campaign.cli.output import campaign_argument, json_option, table, talk, write, write_json
from campaign.cli.output import command as new_command

_LIMIT = 50
_STARTS = ("start.", "scale.")
_AXES = ("problem.", "engine.", *_STARTS, "tag.", "label")
_METRICS = ("metric.chi2",)


@new_command("ls")
@campaign_argument
@click.argument("runs", nargs=-1)
@click.option("--stage", help="Only runs of this stage.")
@click.option("--state", default="all", help="all, ok, failed, done or pending.")
@click.option("--where", metavar="CONDITION", help="A condition over columns, such as 'loss < 3'.")
@click.option("--columns", help="Columns, separated by commas; or `all`.")
@click.option("--sort", metavar="COLUMN", help="Ascending; -COLUMN descending.")
@click.option("--limit", type=click.IntRange(0), default=_LIMIT, show_default=True, help="0 for no limit.")
@click.option("--ids", "ids_only", is_flag=True, help="Only run ids, one per line.")
@json_option
def command(
    directory: str,
    runs: tuple[str, ...],
    stage: str | None,
    state: str,
    where: str | None,
    columns: str | None,
    sort: str | None,
    limit: int,
    ids_only: bool,
    as_json: bool,
) -> None:
    """List runs.

    RUNS are beginnings of run ids; - reads them from standard input.

    \b
    Example:
      campaign ls results/first --state failed
      campaign ls results/first --where 'problem.sigma < 0.05 and loss > 60' --sort -loss
      campaign ls results/first --columns run_id,theta.rate,stderr.rate
    """
    from campaign.cli.selection import select_runs

    found = select_runs(directory, state=state, where=where, ids=runs, stage=stage)
    shown = _columns(found, columns)
    if sort is not None:
        found = _sorted(found, sort)
    n = found.num_rows
    part = found.slice(0, limit) if limit else found
    if as_json:
        write_json("ls", {"n_runs": n, "runs": part.select(shown).to_pylist()})
        return
    if ids_only:
        for run_id in part["run_id"].to_pylist():
            write(run_id)
        return
    numeric = [i for i, name in enumerate(shown) if str(part.schema.field(name).type) in ("double", "int64", "int32")]
    rows = [[_cell(name, row[name]) for name in shown] for row in part.select(shown).to_pylist()]
    write(table([_title(part, name) for name in shown], rows, right=numeric))
    if part.num_rows < n:
        talk(f"{count(part.num_rows)} of {count(n)} runs; --limit 0 shows all")


def _columns(found: Any, wanted: str | None) -> list[str]:
    from campaign.errors import UnknownName, nearest

    if wanted == "all":
        return list(found.column_names)
    if wanted is None:
        return _default_columns(found)
    names = [name.strip() for name in wanted.split(",") if name.strip()]
    for name in names:
        if name not in found.column_names:
            raise UnknownName(f"unknown column `{name}`", hint=nearest(name, found.column_names))
    return names


def _default_columns(found: Any) -> list[str]:
    """Id, stage and outcome; the axes; what was estimated with its errors, chi2."""
    stages = set(found["stage"].to_pylist())
    names = ["run_id", *(["stage"] if len(stages) > 1 else []), "outcome"]
    filled = [name for name in found.column_names if found[name].null_count < found.num_rows]
    names += [
        name for name in filled if name.startswith(_AXES) and not (name.startswith(_STARTS) and _is_one(found, name))
    ]
    for name in filled:
        if f"stderr.{name.removeprefix('theta.')}" in filled and name.startswith("theta."):
            names += [name, f"stderr.{name.removeprefix('theta.')}"]
    return names + ["loss"] + [name for name in _METRICS if name in filled]


def _is_one(found: Any, name: str) -> bool:
    """Whether all runs have the same value."""
    return found[name].null_count == 0 and len(found[name].unique()) == 1


def _sorted(found: Any, sort: str) -> Any:
    from campaign.errors import UnknownName, nearest

    name = sort.removeprefix("-")
    if name not in found.column_names:
        raise UnknownName(f"unknown column `{name}`", hint=nearest(name, found.column_names))
    return found.sort_by([(name, "descending" if sort.startswith("-") else "ascending")])


def _title(found: Any, name: str) -> str:
    unit = (found.schema.field(name).metadata or {}).get(b"unit", b"").decode()
    return f"{name} [{unit}]" if unit else name


def _cell(name: str, value: Any) -> str:
    if value is None:
        return "pending" if name == "outcome" else ""
    if name == "run_id":
        return value[:12]
    return f"{value:.6g}" if isinstance(value, float) else str(value)
