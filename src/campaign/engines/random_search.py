"""`random-search`: the best of many draws from the prior."""

from __future__ import annotations

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from campaign.engines.base import AbstractEngine, Field, Info, Outcome, Result
from campaign.engines.catalogue import RandomSearchOptions
from campaign.engines.objective import cost
from campaign.engines.sampling import threefry
from campaign.engines.walkers import prior_draws
from campaign.problem.target import Target


class Best(NamedTuple):
    """State: draws so far, the best of them and its cost, and the raw words of a threefry key."""

    steps: Int[Array, ""]
    theta: Float[Array, " d"]
    cost: Float[Array, ""]
    key: Array


class RandomSearch(AbstractEngine):
    """`samples` independent draws from the prior (uniform between finite bounds where there is none), `chunk` a step.

    Trace: ``point`` (point, parameter) and ``cost`` (point) of every draw; ``loss`` = the lowest cost so far, ``theta``
    there. Result: the best draw, no errors: nothing shows that it is a minimum, so a run ends as `budget`.

    Step k uses the key ``fold_in(key, k)``, so a longer search begins with the draws of a shorter one.

    Checked: tests/oracle/test_global_search.py.
    """

    samples: int = eqx.field(static=True)
    chunk: int = eqx.field(static=True)
    objective: str = eqx.field(static=True)
    max_steps: int = eqx.field(static=True)
    chunk_steps: int = eqx.field(static=True)

    def init(self, target: Target, key: PRNGKeyArray) -> Best:
        return Best(
            steps=jnp.zeros((), jnp.int32),
            theta=target.start_theta(),
            cost=jnp.full((), jnp.inf, target.base.dtype),
            key=jax.random.key_data(threefry(key)),
        )

    def step(self, target: Target, state: Best) -> tuple[Best, Info]:
        key = jax.random.fold_in(jax.random.wrap_key_data(state.key, impl="threefry2x32"), state.steps)
        u = prior_draws(target, self.chunk, key)
        theta = jax.vmap(target.theta)(u)
        is_draw = state.steps * self.chunk + jnp.arange(self.chunk) < self.samples
        value = jax.vmap(lambda v: cost(target, v, self.objective))(u)
        usable = jnp.where(is_draw & ~jnp.isnan(value), value, jnp.inf)
        top = jnp.argmin(usable)
        better = usable[top] < state.cost
        state = Best(
            steps=state.steps + 1,
            theta=jnp.where(better, theta[top], state.theta),
            cost=jnp.where(better, usable[top], state.cost),
            key=state.key,
        )
        info = {
            "loss": state.cost,
            "theta": state.theta,
            "point": jnp.where(is_draw[:, None], theta, jnp.nan),
            "cost": jnp.where(is_draw, value, jnp.nan),
        }
        return state, info

    def outcome(self, state: Best) -> Int[Array, ""]:
        """NONFINITE when all draws are done and none had a cost."""
        is_over = (state.steps >= self.max_steps) & ~jnp.isfinite(state.cost)
        return jnp.where(is_over, Outcome.NONFINITE, Outcome.RUNNING).astype(jnp.int32)

    def finish(self, target: Target, state: Best) -> Result:
        u = target.u(state.theta)
        likelihood = target.log_likelihood_at(state.theta)
        return Result.of(
            state.theta,
            -likelihood,
            -target.log_likelihood_at(target.start_theta()),
            n_evaluations=jnp.minimum(state.steps * self.chunk, self.samples),
            metrics={"log_prior": target.log_prior(u), "log_posterior": target.log_prior(u) + likelihood},
        )

    def fields(self, target: Target) -> dict[str, Field]:
        return {
            "loss": Field(),
            "theta": Field(("parameter",)),
            "point": Field(("point", "parameter"), joined=self.samples),
            "cost": Field(("point",), joined=self.samples),
        }


def build(options: RandomSearchOptions) -> RandomSearch:
    chunk = min(options.chunk, options.samples)
    max_steps = -(-options.samples // chunk)
    return RandomSearch(
        samples=options.samples,
        chunk=chunk,
        objective=options.objective,
        max_steps=max_steps,
        chunk_steps=min(max_steps, 16),
    )
