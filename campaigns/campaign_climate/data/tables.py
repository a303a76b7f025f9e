"""The tables that come with the package, by name and content hash. No JAX.

A name is ``kind:variant``, for example ``forcing:igcc2024``; `tables/index.json` says where each comes from.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from io import StringIO

import numpy as np

from campaign.science import DataFileError, UnknownName, nearest

_FOLDER = files("campaign_climate.data") / "tables"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Table:
    """One table.

    Attributes:
        name: ``kind:variant``.
        columns: numbers by the name of their column, each (n,).
        labels: the first column where it holds text, else empty.
        title, source, licence, citation: what it is, where it comes from, and what to cite.
        sha256: of the file.
    """

    name: str
    columns: Mapping[str, np.ndarray]
    labels: tuple[str, ...]
    title: str
    source: str
    licence: str
    citation: str
    sha256: str


@cache
def index() -> dict[str, dict[str, str]]:
    """What `tables/index.json` says of each table."""
    return json.loads((_FOLDER / "index.json").read_text(encoding="utf-8"))


def names(kind: str) -> tuple[str, ...]:
    """Variants of a kind: ``names("forcing")`` is ``("igcc2024", "ar6", …)``."""
    return tuple(name.partition(":")[2] for name in index() if name.partition(":")[0] == kind)


@cache
def table(name: str) -> Table:
    """A table by name.

    Raises:
        UnknownName: no such table.
        DataFileError: the file is not the one that was shipped.
    """
    if name not in index():
        raise UnknownName(f"unknown table `{name}`", hint=nearest(name, index()))
    known = index()[name]
    data = (_FOLDER / f"{name.replace(':', '_')}.csv").read_bytes()
    return read_table(name, data, known)


def read_table(name: str, data: bytes, known: Mapping[str, str]) -> Table:
    """A table from the bytes of its CSV file, if they have the hash that is known.

    Raises:
        DataFileError: they have not.
    """
    seen = hashlib.sha256(data).hexdigest()
    if seen != known["sha256"]:
        raise DataFileError(
            f"the table `{name}` is damaged (SHA-256 {seen[:12]}…, shipped {known['sha256'][:12]}…)",
            hint="install the package again",
        )
    head, *rows = list(csv.reader(StringIO(data.decode("utf-8"))))
    has_labels = head[0] == "model"
    numbers = np.array([[float(cell or "nan") for cell in row[has_labels:]] for row in rows])
    return Table(
        name=name,
        columns={column: numbers[:, i] for i, column in enumerate(head[has_labels:])},
        labels=tuple(row[0] for row in rows) if has_labels else (),
        title=known["title"],
        source=known["source"],
        licence=known["licence"],
        citation=known["citation"],
        sha256=seen,
    )
