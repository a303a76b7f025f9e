"""SQL over the tables of a campaign, by DuckDB."""

from __future__ import annotations

import re

import pyarrow as pa
import pyarrow.parquet as pq

from campaign.errors import Unavailable, UnknownName, UsageError
from campaign.store.layout import Layout
from campaign.store.records import dumps

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_GROUPS = "theta|stderr|derived|metric|truth|init_delta|final_delta|problem|engine|start|scale|tag"
_DOTTED = re.compile(rf"\b({_GROUPS})\.\w+")


def query(layout: Layout, sql: str) -> pa.Table:
    """The result of one SQL query; every `tables/<name>.parquet` is a view of that name.

    Dotted columns are quoted: ``select "theta.k" from summary order by loss limit 5``. The query sees these tables and
    nothing else: no other files, no network, no extensions.

    Raises:
        UnknownName: there are no tables yet.
        UsageError: DuckDB refuses the query; with what it says.
        Unavailable: DuckDB is not installed.
    """
    try:
        import duckdb
    except ImportError as error:
        raise Unavailable("DuckDB is not installed", hint="pip install duckdb") from error
    files = {p.stem: p for p in sorted(layout.tables.glob("*.parquet")) if _NAME.fullmatch(p.stem)}
    if not files:
        raise UnknownName(f"{layout.root} has no tables yet", hint="run `campaign reduce`")
    texts = {name: "'" + str(path.resolve()).replace("'", "''") + "'" for name, path in files.items()}
    with duckdb.connect(":memory:") as connection:
        connection.execute(f"set allowed_paths = [{', '.join(texts.values())}]")
        for name, text in texts.items():
            connection.execute(f'create view "{name}" as select * from read_parquet({text})')
        connection.execute("set enable_external_access = false")
        connection.execute("set lock_configuration = true")
        try:
            return connection.sql(sql).to_arrow_table()
        except AttributeError:
            raise UsageError("the statement returns no rows", hint="begin with `select`") from None
        except duckdb.Error as error:
            first = str(error).strip().splitlines()[0]
            dotted = _unquoted(sql, [name for path in files.values() for name in pq.read_schema(path).names])
            hint = f"quote names with a dot: {dotted}" if dotted else f"tables: {', '.join(files)}"
            raise UsageError(f"query: {first}", hint=hint) from None


def csv_text(table: pa.Table) -> str:
    """A table as CSV without a final newline: doubles with all their digits, lists as JSON, null as nothing."""
    import io

    import pyarrow.csv

    columns = []
    for name in table.column_names:
        column = table.column(name)
        if pa.types.is_nested(column.type):
            texts = [None if value is None else dumps(value).decode() for value in column.to_pylist()]
            column = pa.chunked_array([pa.array(texts, pa.string())])
        columns.append(column)
    buffer = io.BytesIO()
    pyarrow.csv.write_csv(pa.table(columns, names=table.column_names), buffer)
    return buffer.getvalue().decode().rstrip("\n")


def _unquoted(sql: str, columns: list[str]) -> str:
    """The columns with a dot that a query names without quotes, quoted; their order is that of the table."""
    bare = re.sub(r"'[^']*'|\"[^\"]*\"", "", sql)
    names = [name for name in columns if "." in name and re.search(rf"(?<![\w.]){re.escape(name)}(?![\w.])", bare)]
    if not names and (
        found := re.search(
            r"\b(theta|stderr|derived|metric|truth|init_delta|final_delta|problem|engine|start|scale|tag)\.\w+", bare
        )
    ):
        names = [found.group()]
    return ", ".join(f'"{name}"' for name in dict.fromkeys(names))
