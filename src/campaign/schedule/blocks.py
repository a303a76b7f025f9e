"""Blocks: consecutive rows of one program, the unit that is dispatched, written and published."""

from __future__ import annotations

import math

import numpy as np

BLOCKS_A_PROGRAM = 32  # enough to keep a small cluster busy and to lose little when a worker dies


def block_size(n_rows: int, max_block: int, override: int | None = None) -> int:
    """Runs a block.

        clip(2^round(log2(n_rows / 32)), 1, max_block),   or `override`

    A property of the plan, never of the cluster.

    Args:
        n_rows: rows of the program.
        max_block: the most that its engine takes.
        override: the stage's key `block`.
    """
    if override is not None:
        return override
    return max(1, min(max_block, round_power(n_rows / BLOCKS_A_PROGRAM)))


def round_power(x: float) -> int:
    """The power of two nearest to x on a logarithmic scale, at least 1."""
    return 1 if x <= 1 else 2 ** round(math.log2(x))


def n_blocks(n_rows: int, size: int) -> int:
    """Blocks that hold n_rows runs."""
    return -(-n_rows // size)


def place_rows(program: np.ndarray, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where the rows of a plan part go.

    Args:
        program: program index of each row, in plan order; program k occurs at least once for every k < len(sizes).
        sizes: block size of each program.

    Returns:
        row: position of each row inside its program's trace arrays, in plan order.
        block: number of each row's block in the part; the blocks of program 0 come first.
        first_block: first block of each program.
    """
    counts = np.bincount(program, minlength=len(sizes))
    order = np.argsort(program, kind="stable")
    row = np.empty(len(program), dtype=np.int64)
    row[order] = np.arange(len(program)) - np.repeat(np.cumsum(counts) - counts, counts)
    blocks = -(-counts // sizes)
    first_block = np.cumsum(blocks) - blocks
    return row, first_block[program] + row // sizes[program], first_block
