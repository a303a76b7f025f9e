"""Where `trf` goes next: the step inside the trust region, on the parameters that no bound stops."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from campaign.engines.linear import diagonal
from campaign.engines.region import CLOSE, Solver
from campaign.engines.trf_point import Point, are_held, quick_pivot
from campaign.problem.target import Target

RESOLVES = 2  # passes that re-solve for the other parameters after some were stopped by a bound
STALE = 1e30  # most by which D² may exceed the present squared column norms: columns may vanish near a minimum


class Move(NamedTuple):
    """The next trial, and what the undamped step says of the way to the minimum.

    Attributes:
        there: where it goes.
        length: ‖D p‖.
        predicted: decrease of the loss that the quadratic model promises.
        damping: λ of the step.
        distance: ‖J p‖ of the undamped Gauss–Newton step on the parameters that no bound holds: the way to the minimum
            of the quadratic model in units of the errors of the residuals, an upper limit of |p_j|/stderr_j.
        steepest: largest |J_j·r|/‖J_j‖ of those parameters.
    """

    there: Float[Array, " d"]
    length: Float[Array, ""]
    predicted: Float[Array, ""]
    damping: Float[Array, ""]
    distance: Float[Array, ""]
    steepest: Float[Array, ""]


def next_metric(before: Float[Array, " d"], column: Float[Array, " d"]) -> Float[Array, " d"]:
    """D²: the largest squared column norms so far, but never more than STALE times the present ones."""
    return jnp.maximum(column, jnp.minimum(before, STALE * jnp.maximum(column, 1e-20 * before)))


def next_radius(radius: Float[Array, ""], move: Move, ratio: Array, finite: Bool[Array, ""]) -> Float[Array, ""]:
    """Δ after a trial: twice as large when it stopped a good step, a quarter of the step after a bad one."""
    is_good = (ratio > 0.75) & (move.length > (1.0 - CLOSE) * radius)
    return jnp.where(~finite | ~(ratio >= 0.25), 0.25 * move.length, jnp.where(is_good, 2.0 * radius, radius))


class _Way(NamedTuple):
    """How far the next trial is found. The first pass solves for the undamped step; it is the trial where it is short.

    Attributes:
        left: passes that may still re-solve for the parameters that no bound stops.
        is_long: λ is to be sought now.
        stopped: parameters that a bound stops, with their part of `step`.
        square: ‖J p‖² of the undamped step.
    """

    left: Int[Array, ""]
    is_first: Bool[Array, ""]
    is_long: Bool[Array, ""]
    damping: Float[Array, ""]
    stopped: Bool[Array, " d"]
    step: Float[Array, " d"]
    there: Float[Array, " d"]
    square: Float[Array, ""]


def next_move(
    target: Target,
    here: Point,
    metric: Float[Array, " d"],
    radius: Float[Array, ""],
    least: Float[Array, ""],
    solvers: tuple[Solver, Solver],
) -> Move:
    """The next trial: the step inside the radius on the parameters that no bound stops."""
    metric = jnp.where(metric > 0, metric, 1.0)
    column = diagonal(here.hessian)
    held = are_held(target, here)
    slopes = jnp.where(held | (column == 0), 0.0, here.gradient**2 / jnp.where(column == 0, 1.0, column))
    steepest = jnp.sqrt(jnp.max(slopes))

    def with_solver(solver: Solver) -> Move:
        def one_pass(way: _Way) -> _Way:
            system = solver.system(way.stopped, jnp.where(way.is_long | (way.damping > 0), metric, column))
            damping = jax.lax.cond(way.is_long, lambda: jnp.maximum(least, system.damping(radius)), lambda: way.damping)
            found = system.step(jnp.where(way.stopped, way.step, 0.0), damping)
            is_long = way.is_first & (jnp.sqrt(jnp.sum(metric * found.p * found.p)) > radius)
            is_only_told = is_long | (way.is_first & (least > 0))
            wanted = here.u + jnp.where(way.stopped, way.step, found.p)
            there = jnp.clip(wanted, *target.bounds()) if target.has_bounds else wanted
            is_new = there != wanted
            return _Way(
                left=jnp.where(is_only_told, way.left, jnp.where(jnp.any(is_new), way.left - 1, 0)),
                is_first=jnp.asarray(False),
                is_long=is_long,
                damping=jnp.where(is_only_told, least, damping),
                stopped=way.stopped | (is_new & ~is_only_told),
                step=jnp.where(is_only_told, 0.0, there - here.u),
                there=there,
                square=jnp.where(way.is_first, found.square, way.square),
            )

        zero, nowhere, yes, no = jnp.zeros_like(radius), jnp.zeros_like(here.u), jnp.asarray(True), jnp.asarray(False)
        start = _Way(jnp.asarray(1 + RESOLVES), yes, no, zero, held, nowhere, here.u, zero)
        way = jax.lax.while_loop(lambda way: way.left > 0, one_pass, start)
        return Move(
            there=way.there,
            length=jnp.sqrt(jnp.sum(metric * way.step * way.step)),
            predicted=solver.gain(way.step),
            damping=way.damping,
            distance=jnp.sqrt(jnp.maximum(way.square, 0.0)),
            steepest=steepest,
        )

    quick, slow = solvers
    return jax.lax.cond(
        ~(here.pivot >= quick_pivot(here.u.shape[0])), lambda: with_solver(slow), lambda: with_solver(quick)
    )
