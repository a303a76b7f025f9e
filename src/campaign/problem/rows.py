"""Rows of a table that stays on disk: read when a compiled model asks for them, never all at once."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float

from campaign.errors import InvalidValue


@dataclass(frozen=True, slots=True)
class MappedRows:
    """A table of numbers on disk, shape (N, k): an ``.npy`` file or a Zarr array, handed out by rows as float64.

    A static field of a problem: equal paths are equal tables, and nothing of them becomes part of the compiled program.
    Only the rows asked for are read, with plain reads, so that memory does not grow with N.

    Attributes:
        path: of the file or of the folder. The content must not change while runs are at work.

    Checked: tests/oracle/test_row_blocks.py.
    """

    path: str

    @property
    def shape(self) -> tuple[int, int]:
        """(N, k).

        Raises:
            InvalidValue: no table of numbers in rows and columns.
        """
        return _opened(self.path).shape

    def rows(self, start: Array, size: int) -> Float[Array, "size k"]:
        """Rows start … start + size − 1, inside `jit`: `start` may be traced, `size` is static."""
        result = jax.ShapeDtypeStruct((size, self.shape[1]), np.float64)
        return jax.pure_callback(lambda i: self.read(int(i), size), result, start, vmap_method="sequential")

    def read(self, start: int, size: int) -> np.ndarray:
        """The same rows as an array on the host."""
        return np.ascontiguousarray(_opened(self.path).read(start, size), np.float64)


@dataclass(frozen=True, slots=True)
class _Npy:
    descriptor: int
    offset: int
    shape: tuple[int, int]
    dtype: np.dtype

    def read(self, start: int, size: int) -> np.ndarray:
        width = self.shape[1] * self.dtype.itemsize
        out = bytearray(size * width)
        view, done = memoryview(out), 0
        while done < len(out):
            got = os.preadv(self.descriptor, [view[done:]], self.offset + start * width + done)
            if got == 0:
                raise InvalidValue(
                    f"the file ends before row {start + size} of {self.shape[0]}", hint="is it complete?"
                )
            done += got
        return np.frombuffer(out, self.dtype).reshape(size, self.shape[1])


@dataclass(frozen=True, slots=True)
class _Zarr:
    array: Any
    shape: tuple[int, int]

    def read(self, start: int, size: int) -> np.ndarray:
        return np.asarray(self.array[start : start + size])


@cache
def _opened(path: str) -> _Npy | _Zarr:
    """One open table a path and process; reads carry their own position, so threads may share it."""
    if Path(path).is_dir():
        import zarr

        array = zarr.open_array(path, mode="r")
        return _Zarr(array, _table(path, array.shape, array.dtype))
    try:
        with open(path, "rb") as file:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, is_fortran, dtype = read(file)
            if is_fortran:
                raise InvalidValue(f"`{path}` is stored by columns", hint="save np.ascontiguousarray(table)")
            return _Npy(os.open(path, os.O_RDONLY), file.tell(), _table(path, shape, dtype), dtype)
    except (OSError, ValueError) as error:
        raise InvalidValue(f"`{path}` cannot be read: {error}", hint="give an .npy file or a Zarr array") from error


def _table(path: str, shape: tuple[int, ...], dtype: np.dtype) -> tuple[int, int]:
    if len(shape) != 2 or np.dtype(dtype).kind not in "fiu":
        raise InvalidValue(
            f"`{path}` holds {np.dtype(dtype)} of shape {shape}, not numbers in rows and columns",
            hint="save an array of shape (N, k)",
        )
    return shape[0], shape[1]
