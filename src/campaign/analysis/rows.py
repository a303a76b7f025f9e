"""Arrays whose rows are read when they are asked for, so that they may be larger than memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np


class Rows(Protocol):
    """An array whose rows are read when they are asked for: of NumPy, a memory map, of xarray."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __getitem__(self, rows: slice, /) -> Any: ...


class SideBySide:
    """Arrays joined along their walkers, read a few rows at a time."""

    def __init__(self, parts: Sequence[Rows]) -> None:
        self.parts = parts
        first = parts[0].shape
        self.shape = (first[0], sum(part.shape[1] for part in parts), *first[2:])

    def __getitem__(self, rows: slice) -> np.ndarray:
        return np.concatenate([np.asarray(part[rows]) for part in self.parts], axis=1)
