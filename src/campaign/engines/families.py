"""Blocks of coordinates: which coordinate belongs to which family of parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from campaign.engines.catalogue_descent import REST
from campaign.problem.target import Target

Blocks = tuple[tuple[str, tuple[str | int, ...]], ...]  # static: name → members


def names_of(target: Target, blocks: Blocks) -> tuple[str, ...]:
    """The blocks in order, `other` last where some parameter is in none. Static."""
    blocks = _given(target, blocks)
    rest = _of_theta(target, blocks)
    return tuple(name for name, _ in blocks) + ((REST,) if len(rest) > len(blocks) else ())


def membership(target: Target, blocks: Blocks) -> Float[Array, "n k"]:
    """1 where a coordinate belongs to a block, else 0; every coordinate belongs to one.

    An eigenmode belongs to the block of the parameter with its largest loading, in units of the parameters' `scale`.
    """
    own = jnp.asarray(_of_theta(target, _given(target, blocks)), target.base.dtype)
    if target.map.is_elementwise:
        return own
    slope = jnp.abs(jax.jacfwd(target.theta)(target.start())) / target.scale[:, None]
    return own @ jax.nn.one_hot(jnp.argmax(slope, axis=0), slope.shape[0], dtype=own.dtype).T


def by_coordinate(target: Target, blocks: Blocks, values: Mapping[str, float], otherwise: float) -> Float[Array, " k"]:
    """A number of each coordinate's block."""
    own = jnp.asarray([values.get(name, otherwise) for name in names_of(target, blocks)], target.base.dtype)
    belongs = membership(target, blocks)
    return jnp.sum(jnp.where(belongs > 0, own[:, None], 0.0), axis=0)


def norms(slope: Float[Array, " k"], belongs: Float[Array, "n k"]) -> Float[Array, " n"]:
    """Norms of the parts of a gradient; their squares add up to that of the whole."""
    return jnp.sqrt(jnp.sum(belongs * (slope * slope)[None, :], axis=1))


def _given(target: Target, blocks: Blocks) -> Blocks:
    """The engine's blocks, or else those of the problem."""
    own = target.index_map.blocks.items() if not blocks else ()
    return blocks or tuple((name, tuple(np.asarray(places).tolist())) for name, places in own)


def _of_theta(target: Target, blocks: Blocks) -> np.ndarray:
    names = target.space.names
    own = np.zeros((len(blocks) + 1, len(names)))
    for row, (_, members) in enumerate(blocks):
        own[row, _positions(members, names)] = 1.0
    own[-1] = own.sum(axis=0) == 0
    return own if own[-1].any() else own[:-1]


def _positions(members: Sequence[str | int], names: Sequence[str]) -> list[int]:
    """Positions of the members that are free parameters."""
    return [
        names.index(one) if isinstance(one, str) else one for one in members if isinstance(one, int) or one in names
    ]
