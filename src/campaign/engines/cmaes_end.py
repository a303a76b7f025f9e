"""What `cmaes` says where it ends: the best point, and least squares from there if asked."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from campaign.engines.base import Outcome, Result
from campaign.engines.objective import box, cost
from campaign.engines.trf import Trf
from campaign.problem.target import Target

if TYPE_CHECKING:
    from campaign.engines.cmaes import Cmaes


def found(
    target: Target,
    objective: str,
    u: Float[Array, " d"],
    value: Float[Array, ""],
    n_evaluations: Int[Array, ""],
    tolx: Float[Array, ""],
    metrics: dict[str, Array],
) -> Result:
    """The best point of a search, put on the bounds that it is within `tolx` of where that costs nothing. No errors."""
    low, high = box(target, objective)
    near = tolx * (high - low)
    on_bound = jnp.where(u - low <= near, low, jnp.where(high - u <= near, high, u))
    u = jnp.where(cost(target, on_bound, objective) <= value, on_bound, u)
    theta = target.theta(u)
    loss = -target.log_likelihood_at(theta)
    if target.has_residuals:
        residuals = target.residuals(u)
        metrics = metrics | {
            "chi2": jnp.sum(residuals * residuals),
            "n_data": jnp.asarray(residuals.shape[0], jnp.int32),
            "n_free": jnp.asarray(u.shape[0], jnp.int32),
        }
    return Result.of(
        theta,
        loss,
        -target.log_likelihood_at(target.start_theta()),
        n_evaluations=n_evaluations + 1,
        at_bound=target.at_bound(u, within=(low, high)),
        metrics=metrics,
    )


def refined(engine: Cmaes, target: Target, result: Result) -> Result:
    """Bounded least squares from the best point of a search; all errors are those that `trf` gives.

    Where it ends higher than it began, or at no number, the search's point stays, without errors: metric `refined` is 0
    then, else 1.
    """
    tolerance = engine.refine_tolerance
    trf = Trf(max_steps=engine.refine_steps, ftol=tolerance, xtol=tolerance, gtol=tolerance)
    trf = jax.tree.map(lambda leaf: leaf.astype(target.base.dtype), trf)
    there = dataclasses.replace(target, base=target.full(result.theta))
    state = trf.init(there, jax.random.key(0))
    first = (state, jnp.zeros((), jnp.int32))
    state, steps = jax.lax.while_loop(
        lambda carry: (trf.outcome(carry[0]) == Outcome.RUNNING) & (carry[1] < trf.max_steps),
        lambda carry: (trf.step(there, carry[0])[0], carry[1] + 1),
        first,
    )
    fit = trf.finish(there, state)
    metrics = result.metrics | fit.metrics
    better = fit.loss <= result.loss  # False where it is not a number
    kept = result._replace(
        stderr=jnp.full_like(result.theta, jnp.nan),
        metrics=metrics | result.metrics,
        arrays={name: jnp.full_like(value, jnp.nan) for name, value in fit.arrays.items()},
    )
    taken = fit._replace(loss_initial=result.loss_initial, metrics=metrics)
    chosen = jax.tree.map(lambda new, old: jnp.where(better, new, old), taken, kept)
    return chosen._replace(
        n_evaluations=result.n_evaluations + fit.n_evaluations,
        metrics=chosen.metrics | {"refined": better.astype(jnp.int32), "refine_steps": steps},
    )
