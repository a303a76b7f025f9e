"""Parametric bootstrap noise, reproducible by data set and number. NumPy only.

y_b = y + L_s z_b with L_s L_sᵀ = cov_scale · C and z_b standard normal from the counter-based generator Philox,
keyed by (b, CRC-32 of the data set's full name): the same for a given b whatever the start, the model
or the other data sets.
"""

from __future__ import annotations

import zlib
from functools import lru_cache

import numpy as np


@lru_cache(maxsize=4096)
def whitened_noise(name: str, n: int, number: int) -> np.ndarray:
    """z_b of a data set, shape (n,); zeros for number 0 (the data as published)."""
    if number == 0:
        return np.zeros(n)
    key = np.array([number, zlib.crc32(name.encode())], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key)).standard_normal(n)
