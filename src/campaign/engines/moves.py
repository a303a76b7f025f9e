"""Where a walker of an ensemble is proposed to go: stretch, differential evolution, snooker.

A move takes the walker x, the other half of the ensemble, and random numbers that are enough for any move. It gives the
proposal and ln of the factor that its acceptance needs besides the ratio of densities.

Checked: tests/oracle/test_moves.py: ensembles of exact draws stay exact draws under every move.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

GAMMA_SNOOKER = 1.7
JITTER = 1e-5  # relative, of the factor of differential evolution: it keeps the chain from a lattice


class Draw(NamedTuple):
    """Random numbers of one proposal: `uniform` in [0, 1), `normal` standard."""

    uniform: Float[Array, " 3"]
    normal: Float[Array, ""]


Move = Callable[[Float[Array, " d"], Float[Array, "half d"], Draw, Float[Array, ""]], tuple[Array, Array]]


def stretch(x: Array, others: Array, draw: Draw, a: Array) -> tuple[Array, Array]:
    """y + z (x − y) for a partner y, density of z ∝ 1/√z on [1/a, a]; factor z^(d−1).

    Source: Goodman & Weare 2010, CAMCoS 5, 65, eqs. 7–10.
    """
    z = ((a - 1.0) * draw.uniform[0] + 1.0) ** 2 / a
    y = others[_one_of(draw.uniform[1], others.shape[0])]
    return y + z * (x - y), (x.shape[0] - 1) * jnp.log(z)


def differential_evolution(x: Array, others: Array, draw: Draw, a: Array) -> tuple[Array, Array]:
    """x + g (y₁ − y₂) for two different partners, g = 2.38/√(2d) · (1 + 10⁻⁵ N(0, 1)); factor 1.

    Source: ter Braak 2006, Statistics and Computing 16, 239, eq. 2; Nelson, Ford & Payne 2014, ApJS 210, 11, sec. 3.
    """
    n = others.shape[0]
    first = _one_of(draw.uniform[0], n)
    second = (first + 1 + _one_of(draw.uniform[1], n - 1)) % n
    g = 2.38 / jnp.sqrt(2.0 * x.shape[0]) * (1.0 + JITTER * draw.normal)
    return x + g * (others[first] - others[second]), jnp.zeros((), x.dtype)


def snooker(x: Array, others: Array, draw: Draw, a: Array) -> tuple[Array, Array]:
    """x + γ (P y₁ − P y₂), P the projection on the line through x and a third partner z, γ = 1.7.

    Factor (|proposal − z| / |x − z|)^(d−1).

    Source: ter Braak & Vrugt 2008, Statistics and Computing 18, 435, eqs. 3–4.
    """
    n = others.shape[0]
    centre = _one_of(draw.uniform[0], n)
    first = (centre + 1 + _one_of(draw.uniform[1], n - 1)) % n
    second = _third(centre, first, _one_of(draw.uniform[2], n - 2), n)
    z = others[centre]
    line = x - z
    squared = jnp.sum(line * line)
    along = jnp.sum(line * (others[first] - others[second])) / jnp.where(squared > 0, squared, 1.0)
    proposal = x + GAMMA_SNOOKER * along * line
    # The proposal is z + (1 + γ·along) · line: the ratio of its distance to that of x.
    ratio = jnp.abs(1.0 + GAMMA_SNOOKER * along)
    return proposal, (x.shape[0] - 1) * jnp.log(ratio)


MOVES: dict[str, Move] = {"stretch": stretch, "de": differential_evolution, "snooker": snooker}


def propose(
    names: tuple[str, ...], chosen: Array, x: Array, others: Array, draw: Draw, a: Array
) -> tuple[Array, Array]:
    """The proposal of ``MOVES[names[chosen]]``."""
    if len(names) == 1:
        return MOVES[names[0]](x, others, draw, a)
    return jax.lax.switch(chosen, [MOVES[name] for name in names], x, others, draw, a)


def _one_of(uniform: Array, n: int) -> Array:
    """A number below n, each as likely."""
    return jnp.minimum((uniform * n).astype(jnp.int32), n - 1)


def _third(one: Array, other: Array, number: Array, n: int) -> Array:
    """The `number`-th of 0 … n−1 without two of them."""
    low, high = jnp.minimum(one, other), jnp.maximum(one, other)
    index = number + (number >= low)
    return jnp.minimum(index + (index >= high), n - 1)
