"""What a program wrote → numbers: plain numbers, JSON, CSV or NPZ, from stdout or a file. Errors name the place."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from campaign.errors import InvalidValue
from campaign.problem.foreign.reals import real, real_array


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """Where one output of a program is found.

    Attributes:
        file: name in the working folder; None is stdout.
        format: "numbers" (all numbers, separated by spaces, commas or lines), "json", "csv" or "npz".
        key: in JSON the way to the value (``fit.height``), in CSV the column, in NPZ the array; None is the whole
            document, the only column or the only array.
        shape: of the output; None asks once at the initial parameters.
    """

    file: str | None = None
    format: str = "numbers"
    key: str | None = None
    shape: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if self.format not in READERS:
            raise InvalidValue(f"unknown format `{self.format}` of an output", hint=f"valid: {', '.join(READERS)}")
        if self.format == "npz" and self.file is None:
            raise InvalidValue("an output in format `npz` without `file`", hint="NPZ is read from a file")

    @property
    def place(self) -> str:
        return f"`{self.file}`" if self.file else "stdout"

    def read(self, stdout: bytes, folder: Path) -> np.ndarray:
        """The output as float64.

        Raises:
            ValueError: the file is not there, or does not hold what it should; says where.
        """
        if self.file is None:
            data = stdout
        else:
            try:
                data = (folder / self.file).read_bytes()
            except OSError as error:
                raise ValueError(f"the program left no file `{self.file}` ({error.strerror})") from None
        value = _real(READERS[self.format](data, self.key, self.place), self.place)
        if self.shape is not None and value.shape != self.shape:
            if value.size != math.prod(self.shape):
                raise ValueError(f"{self.place} holds shape {value.shape}, and {self.shape} was announced")
            value = value.reshape(self.shape)
        return value


def _real(value: Any, what: str) -> np.ndarray:
    try:
        return real_array(value, what)
    except TypeError as error:
        raise ValueError(str(error)) from None
    except ValueError as error:
        text = str(error)
        raise ValueError(text if text.startswith("the model") else f"{what} holds lists of different lengths") from None


def _numbers(data: bytes, key: str | None, place: str) -> Any:
    words = data.decode(errors="replace").replace(",", " ").split()
    if not words:
        raise ValueError(f"{place} is empty")
    found = np.empty(len(words))
    for i, word in enumerate(words):
        try:
            found[i] = real(word)
        except ValueError:
            raise ValueError(f"word {i + 1} of {place} is {word[:40]!r}, not a number") from None
    return found[0] if len(found) == 1 else found


def _json(data: bytes, key: str | None, place: str) -> Any:
    try:
        value = json.loads(data)
    except ValueError as error:
        raise ValueError(f"{place} is not JSON: {error}") from None
    for part in key.split(".") if key else ():
        if not isinstance(value, dict) or part not in value:
            raise ValueError(f"{place} has no `{key}`")
        value = value[part]
    return _real(value, f"`{key or 'the document'}` in {place}")


def _csv(data: bytes, key: str | None, place: str) -> Any:
    rows = [row for row in csv.reader(io.StringIO(data.decode(errors="replace"))) if row]
    if not rows:
        raise ValueError(f"{place} is empty")
    head = [name.strip() for name in rows[0]]
    if key is None and len(head) > 1:
        raise ValueError(f"{place} has {len(head)} columns: name one with `key`")
    if key is not None and head.count(key) > 1:
        raise ValueError(f"{place} has {head.count(key)} columns `{key}`")
    if key is not None and key not in head:
        raise ValueError(f"{place} has no column `{key}`; it has: {', '.join(head)}")
    column = head.index(key) if key is not None else 0
    values = []
    for number, row in enumerate(rows[1:], 2):
        try:
            values.append(real(row[column]))
        except (IndexError, ValueError):
            seen = repr(row[column][:40]) if column < len(row) else "nothing"
            raise ValueError(f"line {number} of {place}, column `{head[column]}`: {seen} is not a number") from None
    return values


def _npz(data: bytes, key: str | None, place: str) -> Any:
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            names = arrays.files
            if key is None and len(names) != 1:
                raise ValueError(f"{place} has {len(names)} arrays: name one with `key`")
            if key is not None and key not in names:
                raise ValueError(f"{place} has no array `{key}`; it has: {', '.join(names)}")
            return arrays[key or names[0]]
    except (OSError, EOFError) as error:
        raise ValueError(f"{place} is not NPZ: {error}") from None


READERS: Mapping[str, Callable[[bytes, str | None, str], Any]] = {
    "numbers": _numbers,
    "json": _json,
    "csv": _csv,
    "npz": _npz,
}
