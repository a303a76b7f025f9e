"""What the arrays of a trace group are: their axes, lengths, chunks and types."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One array of a trace group.

    Attributes:
        name: array name.
        dims: names of the axes after `run`; "step" first where the field is recorded each step.
        shape: their lengths.
        run_chunk: runs a chunk; it divides the runs of a block.
        chunk: chunk lengths of the axes after `run`; only the first may be split.
        dtype: NumPy name.
        unit: as a person writes it.
        once: written once, at the end of a run.
        is_detail: of the runs that a stage's `diagnostics` names only; of the others nothing is recorded.
        has_checksum: each chunk ends with its CRC-32C.
    """

    name: str
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    run_chunk: int
    chunk: tuple[int, ...]
    dtype: str
    unit: str = ""
    once: bool = False
    is_detail: bool = False
    has_checksum: bool = True

    @property
    def fill(self) -> float | int:
        """Stands for "not reached": NaN, or −1 where the type has no NaN."""
        return math.nan if self.dtype.startswith("float") else -1


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceSpec:
    """Everything that the metadata of a program's trace group says.

    Attributes:
        n_rows: runs of the program.
        block_size: runs of a block.
        fields: the arrays.
        coordinates: arrays written with the group: name → (dims, values or what makes them, unit).
        attributes: of the group.
    """

    n_rows: int
    block_size: int
    fields: tuple[Field, ...]
    coordinates: Mapping[str, tuple[tuple[str, ...], np.ndarray | Callable[[], np.ndarray], str]]
    attributes: Mapping[str, Any]

    @property
    def has_checksums(self) -> bool:
        """Each chunk ends with its CRC-32C: those of the coordinates too."""
        return all(field.has_checksum for field in self.fields)

    @property
    def names(self) -> frozenset[str]:
        return frozenset(f.name for f in self.fields)

    def field(self, name: str) -> Field:
        return next(f for f in self.fields if f.name == name)
