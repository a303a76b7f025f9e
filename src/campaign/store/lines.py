"""Many records at once: columns in, one line of JSON a record out, the same bytes that `records.dumps` writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from campaign.store.records import dumps


class Same(NamedTuple):
    """A column whose records all have one value."""

    value: Any


Column = np.ndarray | Sequence[Any] | Same
Columns = Mapping[str, "Column | Mapping[str, Column]"]


def json_lines(columns: Columns, n: int) -> list[bytes]:
    """Lines of JSON, without newlines; NaN and ±Infinity become null.

    Args:
        columns: field → its values, one a record: a NumPy array of numbers, a sequence of JSON values, or `Same`;
            or a mapping of such columns, which becomes an object.
        n: how many records.

    Checked: tests/unit/store/test_lines.py against `records.dumps` of each record.
    """
    template: list[bytes] = []
    tokens: list[Sequence[bytes]] = []
    _append(columns, template, tokens)
    text = b"".join(template)
    if not tokens:
        return [text % ()] * n
    return [text % row for row in zip(*tokens, strict=True)]


def taken(column: Column, rows: np.ndarray) -> Column:
    """The values of some records."""
    if isinstance(column, Same):
        return column
    return column[rows] if isinstance(column, np.ndarray) else [column[i] for i in rows.tolist()]


def _append(columns: Columns, template: list[bytes], tokens: list[Sequence[bytes]]) -> None:
    """The text of an object with %b where the records differ, and what to put there."""
    template.append(b"{")
    for i, (name, column) in enumerate(columns.items()):
        template.append((b"," if i else b"") + _literal(name) + b":")
        if isinstance(column, Mapping):
            _append(column, template, tokens)
        elif isinstance(column, Same):
            template.append(_literal(column.value))
        else:
            template.append(b"%b")
            tokens.append(_tokens(column))
    template.append(b"}")


def _literal(value: Any) -> bytes:
    return dumps(value).replace(b"%", b"%%")


def _tokens(column: np.ndarray | Sequence[Any]) -> Sequence[bytes]:
    if not isinstance(column, np.ndarray):
        return [dumps(value) for value in column]
    if column.dtype.kind == "f":
        column = column.astype(np.float64, copy=False)
    return dumps(np.ascontiguousarray(column))[1:-1].split(b",") if len(column) else []


def records_of(columns: Columns, n: int) -> list[dict[str, Any]]:
    """The same records as Python objects."""
    listed = {name: _listed(column, n) for name, column in columns.items()}
    return [{name: values[i] for name, values in listed.items()} for i in range(n)]


def _listed(column: Any, n: int) -> Sequence[Any]:
    if isinstance(column, Mapping):
        return records_of(column, n)
    if isinstance(column, Same):
        return [column.value] * n
    return column.tolist() if isinstance(column, np.ndarray) else column
