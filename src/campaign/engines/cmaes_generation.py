"""The points of a generation of `cmaes`: drawn and evaluated batch by batch, however many there are."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from campaign.engines.cmaes_box import Box
from campaign.engines.cmaes_cloud import Axes, Cloud
from campaign.engines.cmaes_searched import Searched


class Size(NamedTuple):
    """λ of this generation; points evaluated at once, and the most that there can be, both static."""

    popsize: Int[Array, ""]
    batch: int
    places: int


class Generation(NamedTuple):
    """Its points: y in units of σ around the mean, u, and what they cost; +inf beyond λ."""

    y: Float[Array, "L d"]
    u: Float[Array, "L d"]
    cost: Float[Array, " L"]

    @classmethod
    def drawn(
        cls,
        searched: Searched,
        box: Box,
        normal: tuple[Cloud, Axes],
        size: Size,
        key: Array,
        is_first: Bool[Array, ""],
    ) -> Generation:
        """λ points of N(mean, σ²C), evaluated ⌈λ/batch⌉ times `batch` at once.

        Args:
            is_first: the first point is the start itself, to the last bit.
        """
        (cloud, axes), (popsize, batch, places) = normal, size
        target = searched.target
        d, dtype, start = target.n_coordinates, target.base.dtype, box.clipped(target.start())

        def filled(carry: tuple[Array, Generation]) -> tuple[Array, Generation]:
            k, so_far = carry
            number = k * batch + jnp.arange(batch)
            is_start = ((number == 0) & is_first)[:, None]
            z = jax.random.normal(jax.random.fold_in(key, k), (batch, d), dtype)
            y = jnp.where(is_start, 0.0, (z * axes.lengths[None, :]) @ axes.directions.T)
            u = jnp.where(is_start, start[None, :], box.u(cloud.mean[None, :] + cloud.sigma * y))
            value = jax.vmap(searched.cost)(u)
            value = jnp.where((number < popsize) & jnp.isfinite(value), value, jnp.inf)
            new = cls(y, u, value)
            at = k * batch
            return k + 1, jax.tree.map(lambda a, part: jax.lax.dynamic_update_slice_in_dim(a, part, at, 0), so_far, new)

        zeros = jnp.zeros((places, d), dtype)
        first = (jnp.zeros((), jnp.int32), cls(zeros, zeros, jnp.full(places, jnp.inf, dtype)))
        return jax.lax.while_loop(lambda carry: carry[0] * batch < popsize, filled, first)[1]
