"""Reproducible noise for many runs at once: a row of normals for every seed, whatever stands beside it. No JAX."""

from __future__ import annotations

import numpy as np

_GAMMA = np.uint64(0x9E3779B97F4A7C15)  # golden ratio · 2⁶⁴, the increment of SplitMix64
_MIX_1, _MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_ROWS = 256  # rows at a time: their intermediates stay in cache


def splitmix64(state: np.ndarray) -> np.ndarray:
    """The SplitMix64 output of a state: the k-th output (k = 1, 2, …) of seed s is that of s + k·γ mod 2⁶⁴.

    Source: Steele, Lea & Flood 2014, OOPSLA, fig. 17; constants of the reference implementation (Vigna 2015).
    Checked: tests/unit/problem/reference/test_noise.py against published outputs.
    """
    z = (state ^ (state >> np.uint64(30))) * _MIX_1
    z = (z ^ (z >> np.uint64(27))) * _MIX_2
    return z ^ (z >> np.uint64(31))


def standard_normals(seeds: np.ndarray, n: int) -> np.ndarray:
    """Independent standard normals, shape (len(seeds), n), row i from seeds[i] alone.

    The first SplitMix64 output of a seed starts a SplitMix64 sequence of its own; pairs of its outputs become pairs of
    normals (Box–Muller). NumPy does all runs at once; a `numpy.random.Generator` a run would cost 10 µs each.

    Args:
        seeds: non-negative integers.

    Source: Box & Muller 1958, Ann. Math. Stat. 29, 610.
    Checked: tests/unit/problem/reference/test_noise.py: moments, and correlations within and between rows.
    """
    seeds = np.asarray(seeds).astype(np.uint64)
    half = (n + 1) // 2
    counter = (np.arange(1, 2 * half + 1, dtype=np.uint64) * _GAMMA)[None, :]
    out = np.empty((len(seeds), 2 * half))
    for first in range(0, len(seeds), _ROWS):
        start = splitmix64(seeds[first : first + _ROWS] + _GAMMA)[:, None]
        bits = splitmix64(start + counter) >> np.uint64(11)
        uniform = (bits.astype(np.float64) + 0.5) * 2.0**-53  # in (0, 1)
        radius = np.sqrt(-2.0 * np.log(uniform[:, :half]))
        angle = (2.0 * np.pi) * uniform[:, half:]
        np.multiply(radius, np.cos(angle), out=out[first : first + _ROWS, :half])
        np.multiply(radius, np.sin(angle), out=out[first : first + _ROWS, half:])
    return out[:, :n] if n % 2 else out
