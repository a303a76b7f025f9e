"""What `trf` carries from step to step, and where it begins."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from campaign.engines.outcome import Outcome
from campaign.engines.trf_move import Move
from campaign.engines.trf_point import Point
from campaign.problem.target import Target


class TrfState(NamedTuple):
    """What the next step needs.

    Attributes:
        point: where the engine stands.
        triangle: R of the QR factorisation of [J r] there, where `pivot` is small.
        pivot: `least_pivot` there.
        move: what it tries next.
        metric: D², from the largest squared column norms of J so far.
        size: |u| at the start, 0 where that is next to nothing.
        radius: Δ, in the metric D.
        loss_initial: loss at the start.
        n_evaluations: model evaluations so far; a Jacobian counts as d.
        outcome: code of `Outcome`.
    """

    point: Point
    triangle: Float[Array, "e e"]
    pivot: Float[Array, ""]
    move: Move
    metric: Float[Array, " d"]
    size: Float[Array, " d"]
    radius: Float[Array, ""]
    loss_initial: Float[Array, ""]
    n_evaluations: Int[Array, ""]
    outcome: Int[Array, ""]


def state_at_start(target: Target) -> TrfState:
    """Before the first step: nothing is evaluated yet."""
    u = jnp.clip(target.start(), *target.bounds())
    d = u.shape[0]
    nowhere = jnp.zeros_like(u)
    far = jnp.asarray(jnp.inf, u.dtype)
    none = jnp.zeros_like(far)
    return TrfState(
        point=Point(u, far, nowhere, jnp.zeros((d, d), u.dtype), none),
        triangle=jnp.zeros((d + 1, d + 1), u.dtype),
        pivot=jnp.ones_like(far),
        move=Move(u, none, far, none, far, far),
        metric=nowhere,
        size=_size(target, u),
        radius=far,
        loss_initial=far,
        n_evaluations=jnp.asarray(0, jnp.int32),
        outcome=jnp.asarray(Outcome.RUNNING, jnp.int32),
    )


def _size(target: Target, u: Float[Array, " d"]) -> Float[Array, " d"]:
    """|u| at the start; 0 for parameters that start within a tenth of their scale of 0."""
    change = jax.jvp(target.u, (target.start_theta(),), (target.scale,))[1]
    return jnp.where(jnp.abs(u) > 0.1 * jnp.abs(change), jnp.abs(u), 0.0)  # false where the scale is infinite in u
