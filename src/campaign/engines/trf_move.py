"""Where `trf` goes next: the step inside the trust region, on the parameters that no bound stops."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from campaign.engines.linear import diagonal, only_if
from campaign.engines.region import CLOSE, Solver, Step
from campaign.engines.trf_point import Point, are_held, quick_pivot
from campaign.problem.target import Target

WIDE = 30.0  # 3 to 30 do: how much more than the most influential parameter, in its size, another may move at once
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


def next_metric(before: Float[Array, " d"], column: Float[Array, " d"], size: Float[Array, " d"]) -> Float[Array, " d"]:
    """D²: the largest squared column norms so far, each at least what lets a parameter change by WIDE of its size.

    Far from the minimum, column norms differ by orders that belong to the place and not to the parameters: those of a
    polynomial of degree n as the nth power of the parameters. With such D some parameters hardly move, and the others
    run into each other. So D_j·size_j is at least 1/WIDE of the largest. And D² is never more than STALE times what the
    present columns ask for.
    """
    effect = column * size * size
    least = jnp.where(size * size > 0, jnp.max(effect) / (WIDE * size) ** 2, 0.0)
    present = jnp.maximum(column, least)
    return jnp.maximum(present, jnp.minimum(before, STALE * jnp.maximum(present, 1e-20 * before)))


def next_radius(radius: Float[Array, ""], move: Move, ratio: Array, finite: Bool[Array, ""]) -> Float[Array, ""]:
    """Δ after a trial: twice as large when it stopped a good step, half of the step after a bad one."""
    is_good = (ratio > 0.75) & (move.length > (1.0 - CLOSE) * radius)
    return jnp.where(~finite | ~(ratio >= 0.25), 0.5 * move.length, jnp.where(is_good, 2.0 * radius, radius))


def next_move(
    target: Target,
    here: Point,
    pivot: Float[Array, ""],
    metric: Float[Array, " d"],
    radius: Float[Array, ""],
    least: Float[Array, ""],
    solvers: tuple[Solver, Solver],
) -> Move:
    """The next trial: the step inside the radius on the parameters that no bound stops.

    Args:
        pivot: which of the two `solvers` is accurate.
        least: least λ.
    """
    metric = jnp.where(metric > 0, metric, 1.0)
    column = diagonal(here.hessian)
    held = are_held(target, here.u, here.gradient)
    slopes = jnp.where(column == 0, 0.0, here.gradient**2 / jnp.where(column == 0, 1.0, column))
    steepest = jnp.sqrt(jnp.max(slopes if held is None else jnp.where(held, 0.0, slopes)))

    def with_solver(solver: Solver) -> Move:
        found = solver.inside(held, metric, radius, least)
        there = here.u + found.p if held is None else _within(target, here, held, metric, found, solver)
        step = there - here.u
        return Move(
            there=there,
            length=jnp.sqrt(jnp.sum(metric * step * step)),
            predicted=solver.gain(step),
            damping=found.damping,
            distance=jnp.sqrt(jnp.maximum(found.square, 0.0)),
            steepest=steepest,
        )

    quick, slow = solvers
    is_quick = pivot >= quick_pivot(here.u.shape[0])
    return only_if(~is_quick, lambda: with_solver(slow), with_solver(quick))


def _within(
    target: Target, here: Point, held: Bool[Array, " d"], metric: Float[Array, " d"], found: Step, solver: Solver
) -> Float[Array, " d"]:
    """Where the step leads: parameters that it carries through a bound stop there, the others are solved again."""
    bounds = target.bounds()

    def stop(stopped: Bool[Array, " d"], p: Float[Array, " d"], left: Array) -> tuple[Array, Array, Array]:
        wanted = here.u + p
        there = jnp.clip(wanted, *bounds)
        is_new = there != wanted
        return stopped | is_new, there, jnp.where(jnp.any(is_new), left - 1, 0)

    def again(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        stopped, there, left = carry
        pull = jnp.where(stopped, there - here.u, 0.0)
        return stop(stopped, pull + solver.step(stopped, metric, pull, found.damping), left)

    return jax.lax.while_loop(lambda carry: carry[2] > 0, again, stop(held, found.p, jnp.asarray(1 + RESOLVES)))[1]
