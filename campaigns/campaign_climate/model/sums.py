"""Sums whose bits do not depend on how many are computed beside them. For NumPy and JAX arrays."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np


def namespace(x: Any) -> Any:
    """NumPy for what is computed on the host, else JAX."""
    return np if isinstance(x, (np.ndarray, np.generic, float, int)) else jnp


def ordered_sum(x: Any) -> Any:
    """Sum over the last axis, pairwise in a fixed order.

    A compiler may choose another order for `sum` when the batch has another shape; additions of whole arrays leave it
    no choice.
    """
    xp = namespace(x)
    n = x.shape[-1]
    if n == 0:
        return xp.zeros(x.shape[:-1], x.dtype)
    while n > 1:
        half = n // 2
        paired = x[..., :half] + x[..., half : 2 * half]
        x = paired if n % 2 == 0 else xp.concatenate([paired, x[..., 2 * half :]], axis=-1)
        n = half + n % 2
    return x[..., 0]
