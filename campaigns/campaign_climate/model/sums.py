"""Sums whose bits do not depend on how many are computed beside them."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

_UNROLL = 8  # terms added in one turn of the loop


def namespace(x: Any) -> Any:
    """NumPy for what is computed on the host, else JAX."""
    return np if isinstance(x, (np.ndarray, np.generic, float, int)) else jnp


def ordered_sum(x: Any) -> Any:
    """Sum over the last axis; under JAX one term after the other, in a loop.

    A compiler may choose another order for `sum`, or join products and additions into one rounding, when a batch has
    another shape. The terms of a loop are computed before it, and its order is fixed.
    """
    if namespace(x) is np:
        return np.asarray(x).sum(axis=-1)
    terms = jnp.moveaxis(x, -1, 0)
    total, _ = jax.lax.scan(
        lambda total, term: (total + term, None), jnp.zeros(terms.shape[1:], terms.dtype), terms, unroll=_UNROLL
    )
    return total
