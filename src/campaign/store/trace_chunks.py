"""How the arrays of a trace group are cut into files: by bytes, so that a long chain is read without its neighbours.

(run, step, …) of a block, as an engine hands it over          files of one array
┌──────────────────────────┐
│ run 0   h steps          │    small: one file for the block     large: a file for each run,
│ run 1                    │                                      and several for its h steps
│ …                        │
└──────────────────────────┘
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

RUN_BYTES = 1 << 20  # aim for the runs of a chunk; below it, files cost more than what they hold
STEP_BYTES = 4 << 20  # aim for the steps of one run in a chunk; what an engine of ours hands over at once


def chunk_lengths(block_size: int, shape: Sequence[int], itemsize: int) -> tuple[int, tuple[int, ...]]:
    """How many runs and steps a chunk holds.

    A chunk has one writer and is written once, so runs divide a block, and steps divide what is handed over at once:

        steps = the divisor of h whose bytes in one run are nearest to 4 MiB
        runs  = the divisor of B whose bytes, with so many steps, are nearest to 1 MiB

    by the ratio of the two; the smaller one of equals. So an array is in one file for each block and hand-over while
    these are below 1 MiB, a run has files of its own from 0.7 MiB on, and nothing is split into pieces below 0.7 MiB
    unless only far larger ones divide it.

    Args:
        block_size: B, runs of a block.
        shape: (h, …) of one run: steps that are handed over at once, or the length of the first axis of an array that
            is written once, then the axes that are never split. Empty for a number.
        itemsize: bytes of a value.

    Returns:
        (runs, (steps, …)).

    Checked: tests/unit/store/test_trace_chunks.py.
    """
    inner = itemsize * math.prod(shape[1:])
    steps = _nearest_divisor(shape[0], inner, STEP_BYTES) if shape else 1
    runs = _nearest_divisor(block_size, inner * steps, RUN_BYTES)
    return runs, (steps, *shape[1:]) if shape else ()


def cut(
    values: np.ndarray, row: int, step: int, run_chunk: int, chunk: Sequence[int]
) -> Iterator[tuple[int, int, np.ndarray]]:
    """Values of the rows from `row` and the steps from `step` on, both at the beginning of a chunk, chunk by chunk.

    Yields:
        (number of the chunk along runs, along steps, values); the last ones may be less than a whole chunk.
    """
    for i in range(0, len(values) if values.size else 0, run_chunk):
        own = values[i : i + run_chunk]
        if not chunk:
            yield (row + i) // run_chunk, 0, own
        for j in range(0, own.shape[1], chunk[0]) if chunk else ():
            yield (row + i) // run_chunk, (step + j) // chunk[0], own[:, j : j + chunk[0]]


def _nearest_divisor(n: int, unit: int, aim: int) -> int:
    """The divisor d of n with d × unit nearest to `aim`, by their ratio."""
    low = [d for d in range(1, math.isqrt(n) + 1) if n % d == 0]
    divisors = sorted({*low, *(n // d for d in low)})
    return min(divisors, key=lambda d: abs(math.log(d * max(unit, 1) / aim)), default=n)
