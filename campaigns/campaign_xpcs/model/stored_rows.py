"""Data of a problem that stay in a file: rows are read when a compiled model asks for them."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from campaign_xpcs.data.stored import StoredPairs


class StoredRows(eqx.Module):
    """In the place of an array (n_phi, m): no part of the compiled program, and no leaf.

    Attributes:
        pairs: where the numbers are. Static.

    Checked: tests/unit/xpcs/test_xpcs_sources.py, the same fit as from arrays.
    """

    pairs: StoredPairs = eqx.field(static=True)

    @property
    def shape(self) -> tuple[int, int]:
        """(n_phi, m)."""
        return self.pairs.shape

    def taken(self, start: Array, size: int) -> Float[Array, " size"]:
        """Rows start … start + size − 1, inside `jit`: `start` may be traced, `size` is static. NaN where masked."""
        result = jax.ShapeDtypeStruct((size,), np.float64)
        return jax.pure_callback(
            lambda at: self.pairs.read(int(at), size), result, jnp.asarray(start, jnp.int64), vmap_method="sequential"
        )


def in_memory(data: Array | StoredRows) -> Array:
    """Data that are known to be an array.

    Raises:
        TypeError: they are in a file.
    """
    if isinstance(data, StoredRows):
        raise TypeError("the rows are in a file")
    return data
