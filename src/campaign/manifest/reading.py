"""A file of points → its columns as they are written: text, typed values, or JSON values. Nothing is guessed here."""

from __future__ import annotations

import codecs
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from campaign.errors import DataFileError

if TYPE_CHECKING:
    import pyarrow as pa

FORMATS = (".csv", ".parquet", ".json", ".jsonl")
Cells = "pa.ChunkedArray | list[Any]"  # of one column: Arrow values, or JSON values with None for missing keys


def read_columns(path: Path, encoding: str | None = None) -> tuple[dict[str, Any], bool]:
    """The columns of a file, and whether its cells are text whose meaning is still open (CSV).

    Args:
        path: of one of `FORMATS`.
        encoding: of the text; UTF-8 when None.

    Raises:
        DataFileError: another format, malformed, not in that encoding, or two columns of one name.
    """
    import pyarrow as pa
    from pyarrow import parquet

    kind = path.suffix.lower()
    try:
        match kind:
            case ".csv":
                return _csv(path, _text(path, encoding)), True
            case ".parquet":
                table = parquet.ParquetFile(path).read()
                _refuse_twice(path, table.column_names)
                return dict(zip(table.column_names, table.columns, strict=True)), False
            case ".jsonl":
                lines = enumerate(_text(path, encoding).split("\n"), 1)
                return _columns(path, [_json(path, line, i) for i, line in lines if line.strip()]), False
            case ".json":
                return _columns(path, _json(path, _text(path, encoding))), False
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, DataFileError):
            raise
        raise _unreadable(path, str(error).splitlines()[0]) from error
    raise DataFileError(f"the file `{path.name}` has an unknown format", hint=f"valid: {', '.join(FORMATS)}")


def _unreadable(path: Path, what: str, hint: str | None = None) -> DataFileError:
    return DataFileError(f"the file `{path.name}` cannot be read: {what}", hint=hint)


def _text(path: Path, encoding: str | None) -> str:
    raw = path.read_bytes()
    try:
        return raw.decode("utf-8-sig" if encoding is None else encoding)
    except UnicodeError as error:
        at = getattr(error, "start", 0)
        line = raw.count(b"\n", 0, at) + 1
        seen = f"0x{raw[at]:02x}" if at < len(raw) else "the end of the file"
        what = f"line {line} is not {encoding or 'UTF-8'} (byte {at + 1} of the file: {seen})"
        raise _unreadable(path, what, 'save the file as UTF-8, or name its encoding: "encoding": "latin-1"') from None


def is_encoding(name: Any) -> bool:
    """Whether text can be decoded by that name."""
    try:
        return isinstance(name, str) and codecs.lookup(name)._is_text_encoding
    except (LookupError, ValueError):
        return False


def _csv(path: Path, text: str) -> dict[str, pa.ChunkedArray]:
    """Every cell as text; empty ones null."""
    import pyarrow as pa
    from pyarrow import csv

    data = pa.py_buffer(text.encode())
    with csv.open_csv(pa.BufferReader(data)) as reader:
        names = reader.schema.names
    _refuse_twice(path, names)
    convert = csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), null_values=[""])
    convert.strings_can_be_null = True
    parse = csv.ParseOptions(newlines_in_values=True)
    table = csv.read_csv(pa.BufferReader(data), convert_options=convert, parse_options=parse)
    return dict(zip(table.column_names, table.columns, strict=True))


def _refuse_twice(path: Path, names: Iterable[str]) -> None:
    for name, n in Counter(names).items():
        if n > 1:
            what = f"{n} columns have the name `{name}`"
            raise _unreadable(path, what, "rename or remove one of them")


def _json(path: Path, text: str, line: int | None = None) -> Any:
    where = "" if line is None else f"line {line}: "

    def unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
        _refuse_twice(path, (name for name, _ in pairs))
        return dict(pairs)

    try:
        found = json.loads(text, object_pairs_hook=unique)
        if "\\" in text:
            json.dumps(found, ensure_ascii=False).encode()  # half a surrogate pair is not text
        return found
    except json.JSONDecodeError as error:
        at = f"column {error.colno}" if line else f"line {error.lineno}, column {error.colno}"
        raise _unreadable(path, f"{where}not JSON at {at}: {error.msg}") from None
    except (RecursionError, ValueError) as error:  # ValueError: an integer of thousands of digits
        raise _unreadable(path, f"{where}{str(error).splitlines()[0]}") from None


def _columns(path: Path, rows: Any) -> dict[str, list[Any]]:
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise _unreadable(path, "it is not a list of objects", "write one object per point: axis → value")
    keys = dict.fromkeys(key for row in rows for key in row)
    return {key: [row.get(key) for row in rows] for key in keys}
