"""`campaign query`: SQL over the tables."""

from __future__ import annotations

import click

from campaign.cli.output import campaign_argument, json_option, table, talk, write, write_json
from campaign.cli.output import command as new_command


@new_command("query")
@campaign_argument
@click.argument("sql")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV, every digit of a number; a list is JSON in a cell.")
@json_option
def command(directory: str, sql: str, as_csv: bool, as_json: bool) -> None:
    """Query the summary table with SQL.

    Each file in tables/ is a view. Quote column names that contain a dot. The query can read only these tables.

    \b
    Example:
      campaign query results/first 'select outcome, count(*) from summary group by outcome'
      campaign query results/first 'select "theta.rate", loss from summary order by loss limit 5'
      campaign query results/first 'select * from summary' --csv > summary.csv
    """
    from campaign.analysis.handle import open_campaign, refresh
    from campaign.analysis.query import blinded_columns, csv_text, query

    handle = open_campaign(directory)
    refresh(handle.layout)
    found = query(handle.layout, sql)
    shifted = blinded_columns(found)
    if shifted:
        talk(f"shown shifted, for they are blinded: {', '.join(shifted)}")
    if as_json:
        known = {"blinded": shifted} if shifted else {}
        write_json("query", {"columns": found.column_names, "rows": found.to_pylist(), **known})
        return
    if as_csv:
        write(csv_text(found))
        return
    numeric = [i for i, field in enumerate(found.schema) if str(field.type) not in ("string", "bool")]
    rows = [[_cell(value) for value in row.values()] for row in found.to_pylist()]
    write(table(found.column_names, rows, right=numeric))


def _cell(value: object) -> str | None:
    return f"{value:.10g}" if isinstance(value, float) else None if value is None else str(value)
