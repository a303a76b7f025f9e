"""Frames of a detector, one image or a stack of them, from NumPy, FITS, Zarr and CSV files.

A stack is not read into memory: a frame is read when it is asked for. Arrays are (rows, columns) or (frames, rows,
columns), in electrons. Beside the electrons a file may have `variance` [electrons²] and `mask` (not 0: leave the pixel
out, as in NumPy's masked arrays and data-quality planes), each a stack or one image for all frames.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from campaign.science import CampaignError, DataFileError, InvalidValue, Unavailable, read_columns

KINDS = (".npz", ".npy", ".fits", ".fits.gz", ".csv", ".zarr.zip")
_EXTRAS = {"variance": ("variance", "var"), "mask": ("mask", "dq")}


@dataclass(frozen=True, eq=False, slots=True)
class Frame:
    """One image.

    Attributes:
        electrons: of each pixel; NaN where there is none.
        variance: of each pixel, or None.
        is_left_out: pixels that the file's mask leaves out.
    """

    electrons: Float[np.ndarray, "n n"]
    variance: Float[np.ndarray, "n n"] | None
    is_left_out: Bool[np.ndarray, "n n"]

    @property
    def sha256(self) -> str:
        """Of the numbers, whatever file they came from."""
        found = hashlib.sha256()
        for array in (self.electrons, self.variance, self.is_left_out):
            if array is not None:
                found.update(f"{array.dtype.str} {array.shape}".encode() + np.ascontiguousarray(array).tobytes())
        return found.hexdigest()


@dataclass(frozen=True, eq=False, slots=True)
class Stack:
    """Frames of a file, opened and not read. Arrays by name: electrons, and variance and mask where there are."""

    path: Path
    arrays: Mapping[str, Any]

    def __len__(self) -> int:
        shape = self.arrays["electrons"].shape
        return shape[0] if len(shape) == 3 else 1

    def frame(self, number: int) -> Frame:
        """A frame by number from 0.

        Raises:
            InvalidValue: there is no such frame.
        """
        if not 0 <= number < len(self):
            raise InvalidValue(f"`{self.path.name}` has no frame {number}", hint=f"valid: 0 to {len(self) - 1}")
        electrons = self._image("electrons", number)
        variance = self._image("variance", number) if "variance" in self.arrays else None
        mask = self._image("mask", number) != 0 if "mask" in self.arrays else np.zeros(electrons.shape, bool)
        return Frame(electrons, variance, mask)

    def _image(self, name: str, number: int) -> np.ndarray:
        array = self.arrays[name]
        return np.array(array[number] if len(array.shape) == 3 else array[:], dtype=np.float64)


def frames(path: str | Path) -> Stack:
    """A stack from a file. It stays open for the next frames, until the file changes.

    Raises:
        DataFileError: it cannot be read.
        InvalidValue: no kind of file that is known, or arrays of other shapes.
        Unavailable: a FITS file where astropy is not installed.
    """
    path = Path(path)
    try:
        seen = path.stat()
    except OSError as error:
        raise DataFileError(f"the file `{path}` cannot be read: {error.strerror}") from error
    return _opened(path, seen.st_mtime_ns, seen.st_size)


@lru_cache(maxsize=4)
def _opened(path: Path, _changed: int, _size: int) -> Stack:
    reader = next((own for suffix, own in _READERS.items() if path.name.lower().endswith(suffix)), None)
    if reader is None:
        raise InvalidValue(f"`{path.name}` is no kind of file that is known", hint=f"valid: {', '.join(KINDS)}")
    try:
        arrays = reader(path)
    except CampaignError:
        raise
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise DataFileError(f"the file `{path}` cannot be read as {''.join(path.suffixes)}: {error}") from error
    shape = arrays["electrons"].shape
    if len(shape) not in (2, 3) or shape[-1] != shape[-2]:
        raise InvalidValue(f"`{path.name}` has electrons of shape {shape}", hint="(n, n), or (frames, n, n)")
    for name, array in arrays.items():
        if array.shape not in (shape, shape[-2:]):
            raise InvalidValue(f"`{path.name}`: `{name}` has shape {array.shape}", hint=f"{shape} or {shape[-2:]}")
    return Stack(path, arrays)


def _npy(path: Path) -> dict[str, Any]:
    return {"electrons": np.load(path, mmap_mode="r", allow_pickle=False)}


def _npz(path: Path) -> dict[str, Any]:
    """Members that are not compressed are mapped where they lie in the archive; others are read."""
    with zipfile.ZipFile(path) as archive:
        found = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
    data = next((name for name in ("data", "electrons", "frames") if name in found), None)
    if data is None:
        raise InvalidValue(f"`{path.name}` has no array `data`", hint=f"it has: {', '.join(found)}")
    wanted = {"electrons": data, **{name: name for name in _EXTRAS if name in found}}
    return {name: _member(path, found[own]) for name, own in wanted.items()}


def _member(path: Path, info: zipfile.ZipInfo) -> np.ndarray:
    if info.compress_type != zipfile.ZIP_STORED:
        with np.load(path, allow_pickle=False) as archive:
            return archive[info.filename.removesuffix(".npy")]
    with path.open("rb") as file:
        file.seek(info.header_offset + 26)  # a local header: 30 bytes, then a name and a field of these lengths
        lengths = np.frombuffer(file.read(4), "<u2")
        file.seek(info.header_offset + 30 + int(lengths.sum()))
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, is_fortran, dtype = read(file)
        if dtype.hasobject:
            raise InvalidValue(f"`{path.name}`: `{info.filename}` holds Python objects", hint="write numbers")
        order = "F" if is_fortran else "C"
        return np.memmap(path, dtype=dtype, mode="r", offset=file.tell(), shape=shape, order=order)


def _fits(path: Path) -> dict[str, Any]:
    try:
        from astropy.io import fits
    except ImportError:
        raise Unavailable(
            f"`{path.name}` is a FITS file, and astropy is not installed", hint="pip install 'campaign[optics]'"
        ) from None
    with fits.open(path, memmap=True) as units:  # what is mapped stays mapped
        found = [i for i, unit in enumerate(units) if unit.is_image and unit.header["NAXIS"] in (2, 3)]
        names = [next((own for own, names in _EXTRAS.items() if units[i].name.lower() in names), None) for i in found]
        is_scaled = any(key in units[i].header for i in found for key in ("BZERO", "BSCALE", "BLANK"))
    if not found:
        raise InvalidValue(f"`{path.name}` has no image")
    with fits.open(path, memmap=not is_scaled) as units:  # numbers that are stored scaled cannot be mapped
        return {own or "electrons": units[i].data for i, own in zip(found, names, strict=True) if own or i == found[0]}


def _csv(path: Path) -> dict[str, Any]:
    head = next((line for line in path.read_text("utf-8-sig").splitlines() if line.strip() and line[0] != "#"), "")
    names = [name for name in _EXTRAS if name in [cell.strip() for cell in head.replace(";", ",").split(",")]]
    row, column, *values = read_columns(path, "row", "column", "electrons", *names)
    rows, columns = row.astype(int), column.astype(int)
    n = 1 + max(rows.max(), columns.max())
    found = {}
    for name, own in zip(("electrons", *names), values, strict=True):
        found[name] = np.full((n, n), 1.0 if name == "mask" else np.nan)
        found[name][rows, columns] = own
    return found


def _zarr(path: Path) -> dict[str, Any]:
    import zarr

    group = zarr.open_group(zarr.storage.ZipStore(path, mode="r"), mode="r")
    return {"electrons": group["data"], **{name: group[name] for name in _EXTRAS if name in group}}


_READERS = {".npy": _npy, ".npz": _npz, ".fits": _fits, ".fits.gz": _fits, ".csv": _csv, ".zarr.zip": _zarr}
