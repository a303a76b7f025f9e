"""What `cmaes` says where it ends: the best point, and least squares from there if asked."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from campaign.engines.base import Outcome, Result
from campaign.engines.objective import box, cost
from campaign.engines.trf import Trf
from campaign.engines.varpro import Varpro
from campaign.problem.target import Target


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
            "n_data": jnp.asarray(target.n_data, jnp.int32),
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


def refined(target: Target, result: Result, fitter: Any) -> Result:
    """Bounded least squares from the best point of a search; all errors are those that `trf` or `varpro` gives.

    Where it ends higher than it began, or at no number, the search's point stays: metric `refined` is 0 then, else 1.
    Only one that has converged gives errors: metric `refine_converged`.

    Args:
        fitter: `trf` or `varpro` (`fitter_of`).
    """
    there = dataclasses.replace(target, base=target.full(result.theta))
    state = fitter.init(there, jax.random.key(0))
    first = (state, jnp.zeros((), jnp.int32))
    state, steps = jax.lax.while_loop(
        lambda carry: (fitter.outcome(carry[0]) == Outcome.RUNNING) & (carry[1] < fitter.max_steps),
        lambda carry: (fitter.step(there, carry[0])[0], carry[1] + 1),
        first,
    )
    fit = fitter.finish(there, state)
    metrics = result.metrics | fit.metrics
    better = fit.loss <= result.loss  # False where it is not a number
    is_minimum = better & (fitter.outcome(state) == Outcome.CONVERGED)
    errors, arrays = jax.tree.map(lambda value: jnp.where(is_minimum, value, jnp.nan), (fit.stderr, fit.arrays))
    kept = result._replace(stderr=errors, metrics=metrics | result.metrics, arrays=arrays)
    taken = fit._replace(stderr=errors, arrays=arrays, loss_initial=result.loss_initial, metrics=metrics)
    chosen = jax.tree.map(lambda new, old: jnp.where(better, new, old), taken, kept)
    return chosen._replace(
        n_evaluations=result.n_evaluations + fit.n_evaluations,
        metrics={
            **chosen.metrics,
            "refined": better.astype(jnp.int32),
            "refine_converged": is_minimum.astype(jnp.int32),
            "refine_steps": steps,
        },
    )


def fitter_of(refine: str, tolerance: Float[Array, ""], max_steps: int, dtype: jnp.dtype) -> Any:
    """The least squares that refines: `trf` or `varpro`."""
    trf = Trf(max_steps=max_steps, ftol=tolerance, xtol=tolerance, gtol=tolerance)
    trf = jax.tree.map(lambda leaf: leaf.astype(dtype), trf)
    return Varpro(trf=trf, max_steps=trf.max_steps) if refine == "varpro" else trf
