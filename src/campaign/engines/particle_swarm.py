"""`particle-swarm`: a global search by points that are drawn to where they, and all of them, were best."""

from __future__ import annotations

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from campaign.engines.base import AbstractEngine, Field, Info, Outcome, Result
from campaign.engines.catalogue import ParticleSwarmOptions
from campaign.engines.derivative import scale_of_u
from campaign.engines.objective import box, cost, estimates
from campaign.engines.sampling import threefry
from campaign.engines.walkers import ball, prior_draws
from campaign.errors import InvalidValue
from campaign.problem.target import Target


class Swarm(NamedTuple):
    """State of a run, in z = u / typical change of u. Everything random follows from `key` and `moves`.

    Attributes:
        z, velocity: of each particle.
        own, own_cost: the best place of each particle so far, and its cost.
        spread: the farthest particle from the swarm's best place; level: spread of the own costs, relative.
        key: raw words of a threefry key.
        moves: so far.
    """

    z: Float[Array, "n d"]
    velocity: Float[Array, "n d"]
    own: Float[Array, "n d"]
    own_cost: Float[Array, " n"]
    spread: Float[Array, ""]
    level: Float[Array, ""]
    key: Array
    moves: Int[Array, ""]


class ParticleSwarm(AbstractEngine):
    """v ← w v + c₁ r₁ (own best − z) + c₂ r₂ (swarm's best − z); z ← z + v, reflected at the bounds of u.

    r₁ and r₂ are uniform, one for each particle and parameter. A step evaluates all particles in one batch; the first
    one evaluates where they start.

    Ends as `converged` when the swarm has drawn together: every particle within `xtol` typical changes of the best
    place, with costs equal to `ftol`. That a lower minimum was missed cannot be excluded with any number of particles.

    Trace: ``loss`` = the lowest cost so far, ``theta`` there, ``spread``.
    Result: as `lbfgs` gives it.

    Source: Kennedy & Eberhart 1995; coefficients: Clerc & Kennedy 2002, IEEE Trans. Evol. Comput. 6, 58.
    Checked: tests/oracle/test_global_search.py, Rastrigin's function and a Gaussian.
    """

    inertia: Float[Array, ""] = eqx.field(converter=jnp.asarray)
    own: Float[Array, ""] = eqx.field(converter=jnp.asarray)
    common: Float[Array, ""] = eqx.field(converter=jnp.asarray)
    spread: Float[Array, ""] = eqx.field(converter=jnp.asarray)
    xtol: Float[Array, ""] = eqx.field(converter=jnp.asarray)
    ftol: Float[Array, ""] = eqx.field(converter=jnp.asarray)
    particles: int = eqx.field(static=True)
    objective: str = eqx.field(static=True)
    start_from: str = eqx.field(static=True)
    max_steps: int = eqx.field(static=True)
    chunk_steps: int = eqx.field(static=True)

    def init(self, target: Target, key: PRNGKeyArray) -> Swarm:
        if target.scale.shape[0] == 0:
            raise InvalidValue(
                "engine `particle-swarm` has no free parameter to move", hint="name some in `problem.free`"
            )
        start_key, own_key = jax.random.split(threefry(key))
        if self.start_from == "prior":
            u = prior_draws(target, self.particles, start_key)
        else:
            u = ball(target, self.spread, self.particles, start_key)
        z = u / scale_of_u(target)[None, :]
        infinite = jnp.full((), jnp.inf, z.dtype)
        return Swarm(
            z=z,
            velocity=jnp.zeros_like(z),
            own=z,
            own_cost=jnp.full(self.particles, jnp.inf, z.dtype),
            spread=infinite,
            level=infinite,
            key=jax.random.key_data(own_key),
            moves=jnp.zeros((), jnp.int32),
        )

    def step(self, target: Target, state: Swarm) -> tuple[Swarm, Info]:
        scale = scale_of_u(target)
        low, high = (bound / scale for bound in box(target, self.objective))
        key = jax.random.fold_in(jax.random.wrap_key_data(state.key, impl="threefry2x32"), state.moves)
        pull = jax.random.uniform(key, (2, *state.z.shape), state.z.dtype)
        best = state.own[jnp.argmin(state.own_cost)]
        velocity = (
            self.inertia * state.velocity
            + self.own * pull[0] * (state.own - state.z)
            + self.common * pull[1] * (best[None, :] - state.z)
        )
        is_first = state.moves == 0
        velocity = jnp.where(is_first, 0.0, velocity)
        z, turned = _reflected(state.z + velocity, low, high)
        velocity = jnp.where(turned, -velocity, velocity)
        value = jax.vmap(lambda z: cost(target, z * scale, self.objective))(z)
        value = jnp.where(jnp.isnan(value), jnp.inf, value)
        better = value < state.own_cost
        own = jnp.where(better[:, None], z, state.own)
        own_cost = jnp.where(better, value, state.own_cost)
        top = jnp.argmin(own_cost)
        state = Swarm(
            z=z,
            velocity=velocity,
            own=own,
            own_cost=own_cost,
            spread=jnp.max(jnp.abs(z - own[top][None, :])),
            level=(jnp.max(own_cost) - own_cost[top]) / jnp.maximum(jnp.abs(own_cost[top]), 1.0),
            key=state.key,
            moves=state.moves + 1,
        )
        return state, {"loss": own_cost[top], "theta": target.theta(own[top] * scale), "spread": state.spread}

    def outcome(self, state: Swarm) -> Int[Array, ""]:
        """NONFINITE when no particle has ever had a cost."""
        nothing = (state.moves > 0) & ~jnp.any(jnp.isfinite(state.own_cost))
        together = (state.spread <= self.xtol) & (state.level <= self.ftol)
        ended = jnp.where(together, Outcome.CONVERGED, Outcome.RUNNING)
        return jnp.where(nothing, Outcome.NONFINITE, ended).astype(jnp.int32)

    def finish(self, target: Target, state: Swarm) -> Result:
        u = state.own[jnp.argmin(state.own_cost)] * scale_of_u(target)
        is_shown = self.outcome(state) == Outcome.CONVERGED
        return estimates(target, u, self.objective, is_shown, n_evaluations=self.particles * state.moves)

    def fields(self, target: Target) -> dict[str, Field]:
        return {
            "loss": Field(),
            "theta": Field(("parameter",)),
            "spread": Field(),
            "covariance": Field(("parameter", "parameter_b"), once=True),
        }


def _reflected(z: Float[Array, "n d"], low: Float[Array, " d"], high: Float[Array, " d"]) -> tuple[Array, Array]:
    """Places mirrored at the bounds (and, from far outside, put on them), and where they were."""
    is_out = (z < low[None, :]) | (z > high[None, :])
    mirrored = jnp.where(
        z < low[None, :], 2.0 * low[None, :] - z, jnp.where(z > high[None, :], 2.0 * high[None, :] - z, z)
    )
    return jnp.clip(mirrored, low[None, :], high[None, :]), is_out


def build(options: ParticleSwarmOptions) -> ParticleSwarm:
    given = options.model_dump()
    return ParticleSwarm(start_from=given.pop("init"), **given)
