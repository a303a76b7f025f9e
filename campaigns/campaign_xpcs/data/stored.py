"""Pairs of maps that stay in a file: read by slices when they are needed, never all at once. No JAX."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from campaign.science import DataFileError, InvalidValue, Unavailable


@dataclass(frozen=True, slots=True)
class StoredPairs:
    """c2(φ_k, i, j) of the pairs i < j: (n_phi, m), m = N(N − 1)/2, angle by angle as `np.triu_indices(N, 1)` has them.

    Equal fields are equal data: the content must not change while runs are at work. Maps may be whole, or upper halves.

    Attributes:
        path: an ``.npy`` file or Zarr array of shape (n_phi, F, F), or an HDF5 file.
        keys: of an HDF5 file: the dataset of each angle; empty for the others.
        n_phi: maps.
        n_times: N, frames of the window.
        first_frame: that the window begins with, from 0.

    Raises:
        DataFileError: when it is read: a file that is missing, or shorter or of another form than was said.

    Checked: tests/unit/xpcs/data/test_xpcs_stored.py, all kinds of file against the array.
    """

    path: str
    keys: tuple[str, ...]
    n_phi: int
    n_times: int
    first_frame: int = 0

    @property
    def shape(self) -> tuple[int, int]:
        return self.n_phi, self.n_times * (self.n_times - 1) // 2

    def read(self, start: int, size: int) -> np.ndarray:
        """Positions start … start + size − 1 of all n_phi · m, float64."""
        m = self.shape[1]
        out, done = np.empty(size), 0
        while done < size:
            k, p = divmod(start + done, m)
            n = min(size - done, m - p)
            out[done : done + n] = self._of_angle(k, p, p + n)
            done += n
        return out

    def stretches(self, size: int = 1 << 20) -> Iterator[tuple[int, np.ndarray]]:
        """All positions by pieces, none of which is of two angles: (k, values)."""
        m = self.shape[1]
        for k in range(self.n_phi):
            for p in range(0, m, size):
                yield k, self._of_angle(k, p, min(p + size, m))

    def every(self, step: int) -> np.ndarray:
        """(n_phi, n, n): each `step`-th frame with each; only j > i is filled, the rest is 0."""
        source, at = self._source(), range(0, self.n_times, step)
        found = np.zeros((self.n_phi, len(at), len(at)))
        for k in range(self.n_phi):
            for row, i in enumerate(at[:-1]):
                own = source.rows(k, self.first_frame + i, 1, self.first_frame, self.first_frame + self.n_times)
                found[k, row, row + 1 :] = own[0, at[row + 1] :: step]
        return found

    def _of_angle(self, k: int, first: int, last: int) -> np.ndarray:
        """Pairs first … last − 1 of an angle, from a slab of the frames that they begin with."""
        i, end = _frame(first, self.n_times), _frame(last - 1, self.n_times) + 1
        zero = self.first_frame
        slab = self._source().rows(k, zero + i, end - i, zero + i + 1, zero + self.n_times)
        own = slab[np.arange(slab.shape[1]) >= np.arange(end - i)[:, None]]  # row by row, j > i
        begin = first - _row_start(i, self.n_times)
        return own[begin : begin + last - first]

    def _source(self) -> _Source:
        try:
            now = os.stat(self.path)
        except OSError as error:
            raise DataFileError(f"`{self.path}` cannot be read: {error}") from error
        return _opened(self.path, self.keys, (os.getpid(), now.st_mtime_ns, now.st_size))


class _Source(Protocol):
    def rows(self, k: int, first: int, n: int, left: int, right: int) -> np.ndarray:
        """Part of map k, float64: n frames from `first` on, with frames left … right − 1."""
        ...


@dataclass(frozen=True, slots=True)
class _Npy:
    descriptor: int
    offset: int
    n_frames: int
    dtype: np.dtype

    def rows(self, k: int, first: int, n: int, left: int, right: int) -> np.ndarray:
        width, out = right - left, np.empty((n, right - left), self.dtype)
        for i in range(n):
            at = ((k * self.n_frames + first + i) * self.n_frames + left) * self.dtype.itemsize
            data = os.pread(self.descriptor, width * self.dtype.itemsize, self.offset + at)
            if len(data) < width * self.dtype.itemsize:
                raise DataFileError(f"the file ends in frame {first + i} of map {k}", hint="is it complete?")
            out[i] = np.frombuffer(data, self.dtype)
        return out.astype(np.float64, copy=False)


@dataclass(frozen=True, slots=True)
class _Arrays:
    """Maps that are sliced by the library that reads them: (F, F) each, or one (n_phi, F, F)."""

    maps: Any

    def rows(self, k: int, first: int, n: int, left: int, right: int) -> np.ndarray:
        if isinstance(self.maps, tuple):
            own = self.maps[k][first : first + n, left:right]
        else:
            own = self.maps[k, first : first + n, left:right]
        return np.asarray(own, np.float64)


def stored_shape(path: str, keys: tuple[str, ...] = ()) -> tuple[int, int]:
    """(n_phi, F) of the maps in a file.

    Raises:
        DataFileError: no maps of numbers, or of different sizes.
    """
    if keys:
        maps = _datasets(path, keys)
        shapes = {own.shape for own in maps}
        kind = maps[0].dtype
        maps[0].file.close()
        if len(shapes) != 1:
            raise DataFileError(f"the maps of `{path}` have shapes {sorted(shapes)}", hint="all of one size")
        return len(maps), _square(path, next(iter(shapes)), kind, 2)
    shape = _zarr(path).shape if Path(path).is_dir() else _header(path)[0]
    return shape[0], shape[1]


@lru_cache(maxsize=256)
def _opened(path: str, keys: tuple[str, ...], state: tuple[int, ...]) -> _Source:
    """One open file a process and state of the file: an HDF5 file must not be shared with a forked child."""
    if keys:
        return _Arrays(_datasets(path, keys))
    if Path(path).is_dir():
        return _Arrays(_zarr(path))
    shape, dtype, offset = _header(path)
    return _Npy(os.open(path, os.O_RDONLY | os.O_CLOEXEC), offset, shape[-1], dtype)


def _zarr(path: str) -> Any:
    import zarr

    array = zarr.open_array(path, mode="r")
    _square(path, array.shape, array.dtype, 3)
    return array


def _header(path: str) -> tuple[tuple[int, ...], np.dtype, int]:
    """Shape, type and begin of the numbers of an .npy file."""
    try:
        with open(path, "rb") as file:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, is_fortran, dtype = read(file)
            offset = file.tell()
    except (OSError, ValueError) as error:
        raise DataFileError(f"`{path}` cannot be read: {error}", hint="an .npy file, a Zarr array or HDF5") from error
    if is_fortran:
        raise DataFileError(f"`{path}` is stored by columns", hint="save np.ascontiguousarray(c2)")
    _square(path, shape, dtype, 3)
    return shape, dtype, offset


def _datasets(path: str, keys: tuple[str, ...]) -> tuple[Any, ...]:
    try:
        import h5py
    except ImportError as error:
        raise Unavailable("HDF5 files need h5py", hint="pip install campaign[xpcs]") from error
    try:
        file = h5py.File(path, "r")
        return tuple(file[key] for key in keys)
    except (OSError, KeyError) as error:
        raise DataFileError(f"`{path}` cannot be read as HDF5: {error}") from error


def _square(path: str, shape: tuple[int, ...], dtype: Any, n_axes: int) -> int:
    """F of maps (…, F, F) of numbers."""
    if len(shape) != n_axes or shape[-1] != shape[-2] or shape[-1] < 3 or np.dtype(dtype).kind not in "fiu":
        raise InvalidValue(
            f"`{path}` holds {np.dtype(dtype)} of shape {shape}", hint="valid: numbers, (n_phi, N, N) with N ≥ 3"
        )
    return shape[-1]


def _row_start(i: int, n_times: int) -> int:
    return i * (2 * n_times - i - 1) // 2


def _frame(pair: int, n_times: int) -> int:
    """The first frame of a pair."""
    width = 2 * n_times - 1
    i = min(max(int((width - max(width**2 - 8.0 * pair, 0.0) ** 0.5) / 2.0), 0), n_times - 2)
    while _row_start(i, n_times) > pair:
        i -= 1
    while _row_start(i + 1, n_times) <= pair:
        i += 1
    return i
