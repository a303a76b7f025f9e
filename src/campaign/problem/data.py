"""Measured data from a table: columns of a CSV file as arrays, checked, with errors that name line and value."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np

from campaign.errors import DataFileError, InvalidValue, nearest
from campaign.problem.foreign.reals import real


def columns(path: str | Path, *names: str, delimiter: str | None = None) -> tuple[np.ndarray, ...]:
    """The named columns of a CSV file, each (N,) float64.

    The first line that is neither empty nor a comment (``#``) names the columns; a byte-order mark is passed over.

    Args:
        path: of the file.
        names: of the columns, in the order in which they are wanted.
        delimiter: between columns; None takes what the first line has: a tab, a semicolon, or a comma.

    Raises:
        DataFileError: the file cannot be read.
        InvalidValue: it has no such column, or a line with too few values, with text or with NaN.

    Checked: tests/unit/problem/test_problem_data.py against numpy.genfromtxt.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataFileError(f"the file `{path}` cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataFileError(f"the file `{path}` is not UTF-8 (byte {error.start})", hint="save it as UTF-8") from error
    lines = [(i, line) for i, line in enumerate(text.splitlines(), 1) if line.strip() and line.lstrip()[0] != "#"]
    if not lines:
        raise InvalidValue(f"`{path.name}` has no line with names of columns")
    separator = delimiter or next((c for c in "\t;" if c in lines[0][1]), ",")
    rows = [(i, [cell.strip() for cell in next(csv.reader([line], delimiter=separator))]) for i, line in lines]
    head = rows[0][1]
    places = []
    for name in names:
        if head.count(name) != 1:
            what = "no column" if name not in head else f"{head.count(name)} columns"
            raise InvalidValue(f"`{path.name}` has {what} `{name}`", hint=_which(name, head))
        places.append(head.index(name))
    if len(rows) == 1:
        raise InvalidValue(f"`{path.name}` has names of columns and no data")
    found = np.empty((len(names), len(rows) - 1))
    for j, (line, cells) in enumerate(rows[1:]):
        if len(cells) != len(head):
            raise InvalidValue(
                f"`{path.name}` line {line} has {len(cells)} values, and there are {len(head)} columns",
                hint="complete the line, or take it out",
            )
        for k, place in enumerate(places):
            found[k, j] = _number(cells[place], f"`{path.name}` line {line}, column `{head[place]}`")
    return tuple(found)


def _which(name: str, head: list[str]) -> str:
    if name in head:
        return "rename one of them"
    if len(head) == 1 and name in head[0].split():
        return "separate columns with commas, semicolons or tabs, not with blanks"
    return f"{nearest(name, head)} It has: {', '.join(head)}"


def _number(cell: str, where: str) -> float:
    try:
        value = real(cell)
    except ValueError:
        seen = "nothing is there" if not cell else f"{cell[:40]!r} is not a number"
        raise InvalidValue(f"{where}: {seen}", hint="write numbers with a decimal point; take the line out") from None
    if not math.isfinite(value):
        raise InvalidValue(f"{where}: the value is {cell}", hint="take out lines without a measurement")
    return value
