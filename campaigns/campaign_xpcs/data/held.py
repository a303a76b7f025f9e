"""Where the maps of a fit are held, by what memory is free: in memory, or in their file and read by slices. No JAX."""

from __future__ import annotations

from typing import Literal

from campaign.science import RowPlan, row_plan

Held = Literal["memory", "file"]
COLUMNS = {True: 9, False: 5}  # parameters of the physics and of one angle, with shear and without
BASE = {"memory": 2.7e8, "file": 2.9e8}  # bytes above the imports that any fit needs; most of them compile it
PER_NUMBER = {"memory": 4.0, "file": 0.0}  # bytes a pair of frames and column


def predicted(held: Held, n_rows: int, *, has_shear: bool = True) -> float:
    """Peak bytes above the imports: a + b · n · p with p columns; a and b are measured (benchmarks/xpcs_memory.py)."""
    return BASE[held] + PER_NUMBER[held] * n_rows * COLUMNS[has_shear]


def held_plan(n_rows: int, *, has_shear: bool) -> RowPlan:
    """Where so many pairs are held: in memory while the prediction is at most 0.75 of what is free.

    Checked: tests/integration/test_xpcs_held.py, in a cgroup.
    """
    return row_plan(n_rows, COLUMNS[has_shear], base=BASE["memory"], per_number=PER_NUMBER["memory"])
