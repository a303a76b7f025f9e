"""SQL over the tables of a campaign, by DuckDB."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from campaign.blinding import is_marked
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
            return _with_units(connection.sql(sql).to_arrow_table(), list(files.values()))
        except AttributeError:
            raise UsageError("the statement returns no rows", hint="begin with `select`") from None
        except duckdb.Error as error:
            first = str(error).strip().splitlines()[0]
            dotted = _unquoted(sql, [name for path in files.values() for name in pq.read_schema(path).names])
            hint = f"quote names with a dot: {dotted}" if dotted else f"tables: {', '.join(files)}"
            raise UsageError(f"query: {first}", hint=hint) from None


def _with_units(found: pa.Table, files: Sequence[Path]) -> pa.Table:
    """The result with the units of the columns that kept their name."""
    known = {field.name: field for path in reversed(files) for field in pq.read_schema(path)}
    fields = [
        field.with_metadata(known[field.name].metadata) if field.name in known else field for field in found.schema
    ]
    return found.replace_schema_metadata(None).cast(pa.schema(fields))


def blinded_columns(table: pa.Table) -> list[str]:
    """The columns whose values are shown shifted: their units say so."""
    return [field.name for field in table.schema if is_marked((field.metadata or {}).get(b"unit", b"").decode())]


def csv_text(table: pa.Table) -> str:
    """A table as CSV without a final newline: doubles with all their digits, lists as JSON, null as nothing.

    The name of a column with blinded values says so: ``theta.H0 (blinded)``.
    """
    import io

    import pyarrow.csv

    columns = []
    for name in table.column_names:
        column = table.column(name)
        if pa.types.is_nested(column.type):
            texts = [None if value is None else dumps(value).decode() for value in column.to_pylist()]
            column = pa.chunked_array([pa.array(texts, pa.string())])
        columns.append(column)
    buffer, shifted = io.BytesIO(), blinded_columns(table)
    names = [f"{name} (blinded)" if name in shifted else name for name in table.column_names]
    pyarrow.csv.write_csv(pa.table(columns, names=names), buffer)
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
