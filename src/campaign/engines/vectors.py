"""A vector by parameter from a manifest or from a file."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from campaign.errors import DataFileError

NAMES = "parameter"
_EXPORTED = {"curvature": "curv_raw"}  # what `campaign export` calls it, in the coordinates' own units


class Vector(NamedTuple):
    """Values and the parameters that they belong to, in order."""

    names: tuple[str, ...]
    values: np.ndarray


def read_vector(given: Mapping[str, float] | str, what: str) -> Vector:
    """What an option gives: parameter → value, or the path of a file.

    An NPZ archive holds the array `what` and the names as the array ``parameter``, as the precond.npz and
    curvature.npz of `campaign export` do; a CSV file has the columns ``parameter`` and `what`.

    Raises:
        DataFileError: another format, no such array or column, no names, or values that are no numbers.
    """
    if isinstance(given, Mapping):
        return Vector(tuple(given), np.array(list(given.values()), np.float64))
    path = Path(given)
    try:
        names, values = {".npz": _archive, ".csv": _table}[path.suffix](path, what)
        found = Vector(tuple(str(name) for name in names), np.asarray(values, np.float64))
    except KeyError as error:
        key = str(error.args[0])
        if key == path.suffix:
            hint = "write an .npz or a .csv: a bare array does not say whose values it holds"
            raise DataFileError(f"the file `{path.name}` has an unknown format", hint=hint) from None
        hint = f"it needs `{what}`, and the names of its parameters as `{NAMES}`"
        raise DataFileError(f"the file `{path.name}` has no `{key}`", hint=hint) from None
    except (OSError, ValueError) as error:
        raise DataFileError(f"the file `{path.name}` cannot be read: {error}") from error
    if found.values.shape != (len(found.names),):
        raise DataFileError(
            f"the file `{path.name}` has {len(found.names)} names, and `{what}` has the shape {found.values.shape}"
        )
    return found


def _archive(path: Path, what: str) -> tuple[np.ndarray, np.ndarray]:
    with np.load(path, allow_pickle=False) as file:
        what = what if what in file.files else _EXPORTED.get(what, what)
        for name in (what, NAMES):
            if name not in file.files:
                raise KeyError(name)
        return file[NAMES], file[what]


def _table(path: Path, what: str) -> tuple[list[str], list[float]]:
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [row[NAMES] for row in rows], [float(row[what]) for row in rows]
