"""BIPOP: when `cmaes` begins a new descent, with how many points and how wide."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


class Ledger(NamedTuple):
    """What the descents of a run have cost so far.

    Attributes:
        large, small: evaluations of the descents with many points (the first among them), and of those with few.
        n_large, n_small: descents that have ended.
        limit: evaluations that the present one may use.
        is_small: the kind of the present one.
        popsize: its λ.
    """

    large: Int[Array, ""]
    small: Int[Array, ""]
    n_large: Int[Array, ""]
    n_small: Int[Array, ""]
    limit: Int[Array, ""]
    is_small: Bool[Array, ""]
    popsize: Int[Array, ""]

    @classmethod
    def first(cls, popsize: int, most: int) -> Ledger:
        zero = jnp.zeros((), jnp.int32)
        limit = jnp.full((), most, jnp.int32)
        return cls(zero, zero, zero, zero, limit, jnp.zeros((), bool), jnp.full((), popsize, jnp.int32))


def next_descent(
    ledger: Ledger, used: Int[Array, ""], popsize: int, most: int, key: Array
) -> tuple[Ledger, Float[Array, ""]]:
    """The descent after one that has `used` so many evaluations, and its width in units of the first one's.

    The k-th with many points has 2ᵏ λ₀ of them and the first one's width. One with few has λ₀ (λ_l / 2 λ₀)^(U²)
    points, at least λ₀, is 10^(−2U) as wide (two independent U in [0, 1]), and ends after half the evaluations of the
    large ones so far. It comes whenever the small ones have cost less than the large ones.

    Source: Hansen 2009, "Benchmarking a BI-population CMA-ES on the BBOB-2009 function testbed", sec. 2.
    Checked: tests/unit/engines/test_cmaes_restarts.py.
    """
    large = ledger.large + jnp.where(ledger.is_small, 0, used)
    small = ledger.small + jnp.where(ledger.is_small, used, 0)
    n_large = ledger.n_large + jnp.where(ledger.is_small, 0, 1)
    n_small = ledger.n_small + jnp.where(ledger.is_small, 1, 0)
    is_small = small < large
    u = jax.random.uniform(key, (2,))
    many = popsize * 2**n_large
    few = jnp.floor(popsize * (0.5 * many / popsize) ** (u[0] ** 2)).astype(jnp.int32)
    following = Ledger(
        large=large,
        small=small,
        n_large=n_large,
        n_small=n_small,
        limit=jnp.where(is_small, jnp.maximum(large // 2, popsize), most).astype(jnp.int32),
        is_small=is_small,
        popsize=jnp.where(is_small, jnp.maximum(few, popsize), many).astype(jnp.int32),
    )
    return following, jnp.where(is_small, 10.0 ** (-2.0 * u[1]), 1.0)
