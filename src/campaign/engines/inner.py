"""The linear parameters that are best at a point of the nonlinear ones, inside their bounds, for any of the losses."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from campaign.engines.arrow import Arrow
from campaign.engines.box import best_in_box

SURE = 50  # most sums over the rows for a robust loss
NEGLIGIBLE = 1e-12  # squared standard errors of the linear parameters that a further step may be worth


class Inner(NamedTuple):
    """A search for c, of all groups at once; it goes on where sums over the rows are given to `after_sums`.

    Attributes:
        c: the best so far.
        there: where the sums are needed next.
        best: loss, slopes, Newton matrix and a larger one that never raises the loss, at c.
        is_sure: groups whose next step takes the latter, because the Newton step raised the loss.
        n: sums so far.
        is_open: whether further sums are needed.
    """

    c: Float[Array, "K m"]
    there: Float[Array, "K m"]
    loss: Float[Array, " K"]
    slopes: Float[Array, "K m"]
    newton: Float[Array, "K m m"]
    sure: Float[Array, "K m m"]
    is_sure: Bool[Array, " K"]
    n: Int[Array, ""]
    is_open: Bool[Array, ""]


def inner_at(c: Float[Array, "K m"]) -> Inner:
    """Before the first sums, which are needed at c."""
    k, m = c.shape
    none = jnp.zeros((k, m, m), c.dtype)
    far = jnp.full(k, jnp.inf, c.dtype)
    return Inner(
        c, c, far, jnp.zeros_like(c), none, none, jnp.zeros(k, bool), jnp.asarray(0, jnp.int32), jnp.asarray(True)
    )


def after_sums(
    search: Inner, at: Arrow, bounds, stretch: int, limit: int, is_plain: Bool[Array, ""] | bool = False
) -> Inner:
    """The search with the sums at `there`. A step that lowers a group's loss is taken, another tried again.

    Args:
        stretch: residuals of a group.
        limit: most sums; with the linear loss each is followed by an exact solution, taken as it is.
        is_plain: the sums are those of the linear loss, before a robust one.
    """
    eps = jnp.finfo(at.loss.dtype).eps
    better = (search.n == 0) | ~(at.loss > search.loss * (1.0 + 4.0 * eps))

    def newer(new: Array, old: Array) -> Array:
        return jnp.where(better.reshape(-1, *[1] * (new.ndim - 1)), new, old)

    c, loss, slopes = newer(search.there, search.c), newer(at.loss, search.loss), newer(at.slopes, search.slopes)
    newton, sure = newer(at.diagonal_blocks, search.newton), newer(at.sure, search.sure)
    is_sure = ~better
    hessian = jnp.where(is_sure[:, None, None], sure, newton)
    there = best_in_box(hessian, slopes, c, bounds)
    step = there - c
    moved = jnp.sum(hessian * step[:, None, :], axis=2)
    gain = -jnp.sum(step * (slopes + 0.5 * moved), axis=1)
    worth = (gain > loss * (NEGLIGIBLE / stretch + 4.0 * eps)) & (better | ~search.is_sure)
    n = search.n + 1
    is_open = (jnp.any(worth) & (n < limit)) | is_plain
    there = jnp.where((worth | is_plain)[:, None], there, c)
    fresh = jnp.where(is_plain, 0, n).astype(jnp.int32)
    return Inner(c, there, loss, slopes, newton, sure, is_sure, fresh, is_open)
