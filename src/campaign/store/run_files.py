"""Plain files of one run: arrays that NumPy reads, and lines of JSON. The same content gives the same bytes."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from campaign.errors import Damage, UnknownName
from campaign.store.npz import UNREADABLE
from campaign.store.records import dumps, loads

_MADE = (1980, 1, 1, 0, 0, 0)  # of every member: the time of writing is no part of the content


@dataclass(frozen=True, slots=True, kw_only=True)
class Pieces:
    """An array that comes piece by piece along its first axis, so that it need not fit in memory."""

    shape: tuple[int, ...]
    dtype: np.dtype
    pieces: Callable[[], Iterable[np.ndarray]]

    @classmethod
    def of(cls, array: Any) -> Pieces:
        """A whole array; texts lose their kind of object."""
        own = np.asarray(array)
        own = own.astype(str) if own.dtype.kind in "OT" else own
        return cls(shape=own.shape, dtype=own.dtype, pieces=lambda: (own,))


def write_arrays(path: Path, arrays: Mapping[str, Pieces]) -> None:
    """Write arrays as one compressed .npz file, sorted by name."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(arrays):
            array = arrays[name]
            member = zipfile.ZipInfo(f"{name}.npy", date_time=_MADE)
            member.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(member, "w", force_zip64=True) as file:
                descr = np.lib.format.dtype_to_descr(array.dtype)
                header = {"shape": array.shape, "fortran_order": False, "descr": descr}
                np.lib.format.write_array_header_1_0(file, header)
                for piece in array.pieces():
                    file.write(np.ascontiguousarray(piece).tobytes())


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """All arrays of an .npz file, without pickled objects.

    Raises:
        UnknownName: there is no such file.
        Damage: it cannot be read, or holds objects.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except FileNotFoundError:
        raise missing(path) from None
    except UNREADABLE as error:
        raise Damage(f"{path} cannot be read: {error}", hint="export the run again") from error


def json_lines(records: Iterable[Mapping[str, Any]]) -> bytes:
    """Lines of JSON; what is not finite is null, and its name is in the line's `nonfinite`."""
    return b"".join(dumps(finite(record)) + b"\n" for record in records)


def read_lines(path: Path) -> tuple[list[dict[str, Any]], bool]:
    """The lines of a file of JSON lines, and whether a last one was cut off, which is left out.

    Raises:
        UnknownName: there is no such file.
        Damage: another line is not JSON; names it.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        raise missing(path) from None
    found = []
    for number, line in enumerate(lines, 1):
        try:
            found += [loads(line)] if line else []
        except ValueError as error:
            if number == len(lines):  # nothing follows, not even the end of the line
                return found, True
            raise Damage(f"{path}, line {number}, is not JSON ({error})", hint="export the run again") from error
    return found, False


def finite(document: Mapping[str, Any]) -> dict[str, Any]:
    """A document in which NaN and ±Infinity are null, with their dotted names under `nonfinite` where there are any."""
    found: list[str] = []
    clean = {name: _finite(value, str(name), found) for name, value in document.items()}
    if not found:
        return clean
    known = clean.get("nonfinite")
    return clean | {"nonfinite": sorted({*found, *(known if isinstance(known, list) else ())})}


def _finite(value: Any, place: str, found: list[str]) -> Any:
    if isinstance(value, Mapping):
        return {name: _finite(own, f"{place}.{name}", found) for name, own in value.items()}
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_finite(own, f"{place}.{i}", found) for i, own in enumerate(value)]
    if isinstance(value, float | np.floating) and not np.isfinite(value):
        found.append(place)
        return None
    return value


def missing(path: Path) -> UnknownName:
    """The error of a file that is not there."""
    there = ", ".join(sorted(p.name for p in path.parent.glob("*.*"))) if path.parent.is_dir() else "no such folder"
    hint = f"there: {there or 'nothing'}; `campaign export --artifact {path.stem}` writes it where the run recorded it"
    return UnknownName(f"{path} is missing", hint=hint)
