"""Pairs of frames i < j in one row: row 0 of the upper triangle, then row 1, …, as `np.triu_indices(N, 1)` has them."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int


def n_pairs(n_times: int) -> int:
    """N(N − 1)/2: pairs of frames without the diagonal."""
    return n_times * (n_times - 1) // 2


def frames_of(flat: Int[Array, " m"], n_times: int) -> tuple[Int[Array, " m"], Int[Array, " m"]]:
    """(i, j) of pairs by their position: row i begins at i(2N − i − 1)/2.

    The root is off by less than one row for N up to 10⁷, and is put right in integers.

    Args:
        flat: positions 0 … N(N − 1)/2 − 1, int64: a position does not fit into int32 from N = 65,537.
        n_times: N.

    Returns:
        i and j, int32.

    Checked: tests/unit/xpcs/test_xpcs_pairs.py against np.triu_indices, and beyond int32.
    """
    flat = flat.astype(jnp.int64)
    width = 2 * n_times - 1
    root = jnp.sqrt(jnp.maximum(float(width) ** 2 - 8.0 * flat.astype(jnp.float64), 0.0))
    i = jnp.floor((width - root) / 2.0).astype(jnp.int64)
    i = jnp.clip(i, 0, n_times - 2)
    i = i - (_row_start(i, n_times) > flat)
    i = i + (_row_start(i + 1, n_times) <= flat)
    j = flat - _row_start(i, n_times) + i + 1
    return i.astype(jnp.int32), j.astype(jnp.int32)


def upper(maps: np.ndarray) -> np.ndarray:
    """The pairs of (…, N, N) arrays as (…, M), with the first frame the row."""
    i, j = np.triu_indices(maps.shape[-1], 1)
    return maps[..., i, j]


def full(pairs: np.ndarray, n_times: int, diagonal: float = np.nan) -> np.ndarray:
    """(…, M) as symmetric (…, N, N)."""
    found = np.full((*pairs.shape[:-1], n_times, n_times), diagonal)
    i, j = np.triu_indices(n_times, 1)
    found[..., i, j] = pairs
    found[..., j, i] = pairs
    return found


def _row_start(i: Array, n_times: int) -> Array:
    return i * (2 * n_times - i - 1) // 2
