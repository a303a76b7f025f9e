"""Where the maps of a fit are held: all in memory, or in their file and read by slices. No JAX."""

from __future__ import annotations

from typing import Literal

Held = Literal["memory", "file"]
BASE = {"memory": 1.2e8, "file": 1.2e8}  # bytes above the imports that any fit needs
PER_ROW = {"memory": 60.0, "file": 0.0}  # bytes a pair of frames


def predicted(held: Held, n_rows: int) -> float:
    """Peak bytes above the imports: a + b · n, both measured."""
    return BASE[held] + PER_ROW[held] * n_rows
