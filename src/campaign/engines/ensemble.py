"""The affine-invariant ensemble sampler: a crowd of walkers that stretch towards and away from each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from campaign.engines.base import AbstractEngine, Field, Info, Outcome, Result
from campaign.engines.catalogue import EnsembleOptions
from campaign.engines.mixing import Mixing, mixing_remarks
from campaign.engines.walkers import ball, prior_draws, pull_inside
from campaign.errors import InvalidValue
from campaign.problem.target import Target

_CHUNK_BYTES = 4 << 20  # trace of one run between two hand-overs
_TYPICAL_D = 16  # the number of parameters that the chunk is sized for


class Crowd(NamedTuple):
    """State of a run. Everything random follows from `key` and `updates`.

    Attributes:
        u: positions of the walkers.
        log_density: ln posterior density in u there.
        key: raw words of a threefry key (a plain array, so that a checkpoint can hold it).
        updates: stretch updates done of every walker.
        mean, covariance: of the draws after burn-in, in theta; filled in by the monitor before the end.
        accepted: proposals accepted so far.
        best: theta of the highest posterior density (in theta) that a recorded walker had.
        best_log_prob: that density.
    """

    u: Float[Array, "W d"]
    log_density: Float[Array, " W"]
    key: Array
    updates: Int[Array, ""]
    mean: Float[Array, " d"]
    covariance: Float[Array, "d d"]
    accepted: Int[Array, ""]
    best: Float[Array, " d"]
    best_log_prob: Float[Array, ""]


class Ensemble(AbstractEngine):
    """Stretch move of Goodman & Weare on W walkers in two halves.

    Each walker x of one half draws a partner y from the other and proposes y + z(x − y), with density of z ∝ 1/√z on
    [1/a, a]; it goes there with probability min(1, z^(d−1) p(proposal)/p(x)). Then the halves change roles. Before
    every update a coin for each pair (i, i + W/2) decides who is in which half: with fixed halves tau is 12 % longer
    at d = 10.

    The walkers move in u, with the posterior as a density in u (`Target.log_posterior_u`). Without transforms u is
    theta and the moves are those of emcee; with a log or logit transform the distribution of theta is the same, and
    bounds are never hit. What is traced and reported is theta, and the posterior as a density in theta.

    One engine step is `thin` updates of every walker, and records the last. Update k of a run uses the key
    ``fold_in(key, k)``: neither thinning, chunks of the trace nor a resume change a walker's path.

    Trace: ``loss`` = −mean ln posterior of the walkers; ``theta`` (walker, parameter); ``log_prob`` (walker);
    ``accepted``, fraction of the step's proposals.

    Result: posterior mean and standard deviation of the recorded steps after burn-in; ``loss`` is −ln L at the mean.

    Source: Goodman & Weare 2010, CAMCoS 5, 65, eqs. 7–10; halves: Foreman-Mackey et al. 2013, arXiv:1202.3665, alg. 3.
    Checked: tests/oracle/test_ensemble.py: known Gaussian and banana, emcee on the same target, invariance.
    """

    a: Float[Array, ""] = eqx.field(converter=jnp.asarray)
    spread: Float[Array, ""] = eqx.field(converter=jnp.asarray)
    walkers: int = eqx.field(static=True)
    burn_in: int = eqx.field(static=True)
    thin: int = eqx.field(static=True)
    start_from: str = eqx.field(static=True)
    max_steps: int = eqx.field(static=True)
    chunk_steps: int = eqx.field(static=True)

    def init(self, target: Target, key: PRNGKeyArray) -> Crowd:
        d = target.scale.shape[0]
        self._require_enough_walkers(d)
        start_key, chain_key = jax.random.split(_threefry(key))
        if self.start_from == "prior":
            u = prior_draws(target, self.walkers, start_key)
        else:
            u = ball(target, self.spread, self.walkers, start_key)
        u, log_density = pull_inside(u, target.start(), _density(target))
        dtype = u.dtype
        return Crowd(
            u=u,
            log_density=log_density,
            key=jax.random.key_data(chain_key),
            updates=jnp.zeros((), jnp.int32),
            mean=target.theta(target.start()),
            covariance=jnp.full((d, d), jnp.nan, dtype),
            accepted=jnp.zeros((), int),
            best=target.theta(target.start()),
            best_log_prob=jnp.full((), -jnp.inf, dtype),
        )

    def step(self, target: Target, state: Crowd) -> tuple[Crowd, Info]:
        u, log_density, accepted = self._stretch(target, state)
        theta = jax.vmap(target.theta)(u)
        log_prob = log_density - jax.vmap(target.log_jacobian)(u)
        updates = state.updates + self.thin
        top = jnp.argmax(log_prob)
        better = log_prob[top] > state.best_log_prob
        proposals = self.thin * self.walkers
        state = Crowd(
            u=u,
            log_density=log_density,
            key=state.key,
            updates=updates,
            mean=state.mean,
            covariance=state.covariance,
            accepted=state.accepted + accepted,
            best=jnp.where(better, theta[top], state.best),
            best_log_prob=jnp.where(better, log_prob[top], state.best_log_prob),
        )
        info = {
            "loss": -jnp.mean(log_prob),
            "theta": theta,
            "log_prob": log_prob,
            "accepted": accepted / jnp.asarray(proposals, theta.dtype),
        }
        return state, info

    def outcome(self, state: Crowd) -> Int[Array, ""]:
        """NONFINITE when a walker has no finite density, which only a start without one causes."""
        lost = jnp.any(~jnp.isfinite(state.log_density))
        return jnp.where(lost, Outcome.NONFINITE, Outcome.RUNNING)

    def at_budget(self) -> int:
        """All steps are done: what was asked. Whether they were enough is for the monitor to say."""
        return Outcome.CONVERGED

    def finish(self, target: Target, state: Crowd) -> Result:
        proposed = jnp.maximum(self.walkers * state.updates, 1)
        return Result.of(
            state.mean,
            -target.log_likelihood(target.u(state.mean)),
            -target.log_likelihood(target.start()),
            stderr=jnp.sqrt(jnp.diagonal(state.covariance)),
            n_evaluations=self.walkers * (state.updates + 1) + 2,
            metrics={"acceptance": state.accepted / proposed, "log_prob_max": state.best_log_prob},
            arrays={"covariance": state.covariance, "theta_best": state.best},
        )

    def fields(self, target: Target) -> dict[str, Field]:
        return {
            "loss": Field(),
            "theta": Field(("walker", "parameter")),
            "log_prob": Field(("walker",)),
            "accepted": Field(),
            "covariance": Field(("parameter", "parameter_b"), once=True),
            "theta_best": Field(("parameter",), once=True),
        }

    def monitor(self, n_runs: int) -> Mixing:
        return Mixing("theta", skip=self.burn_in // self.thin, thin=self.thin)

    def remarks(self, metrics: Mapping[str, np.ndarray]) -> list[str]:
        return mixing_remarks(metrics, hint="raise `engine.steps`")

    def _stretch(self, target: Target, state: Crowd) -> tuple[Array, Array, Array]:
        """`thin` updates of all walkers: positions, log densities, number of accepted proposals."""
        walkers, d = state.u.shape
        half = walkers // 2
        key = jax.random.wrap_key_data(state.key, impl="threefry2x32")
        density = _density(target)

        def stretch(x: Array, old: Array, y: Array, draw: Array) -> tuple[Array, Array, Array]:
            z = ((self.a - 1.0) * draw[0] + 1.0) ** 2 / self.a
            proposal = y + z * (x - y)
            new = density(proposal)
            accept = jnp.log(draw[2]) < (d - 1) * jnp.log(z) + new - old
            return jnp.where(accept, proposal, x), jnp.where(accept, new, old), accept

        def move_half(carry: tuple[Array, Array], draw: Float[Array, "half 4"]) -> tuple[tuple[Array, Array], Array]:
            (x, partners), (old, others) = carry
            chosen = jnp.minimum((draw[:, 1] * half).astype(jnp.int32), half - 1)
            moved, value, accept = jax.vmap(stretch)(x, old, partners[chosen], draw)
            return (jnp.stack([partners, moved]), jnp.stack([others, value])), jnp.sum(accept)

        def update(carry: tuple[Array, Array], index: Int[Array, ""]) -> tuple[tuple[Array, Array], Array]:
            u, log_density = carry
            draws = jax.random.uniform(jax.random.fold_in(key, index), (2, half, 4), u.dtype)
            crossed = draws[0, :, 3] < 0.5
            halves = _deal(u.reshape(2, half, d), crossed), _deal(log_density.reshape(2, half), crossed)
            (u, log_density), accepted = jax.lax.scan(move_half, halves, draws)
            return (_deal(u, crossed).reshape(-1, d), _deal(log_density, crossed).reshape(-1)), jnp.sum(accepted)

        indices = state.updates + jnp.arange(self.thin, dtype=jnp.int32)
        (u, log_density), accepted = jax.lax.scan(update, (state.u, state.log_density), indices)
        return u, log_density, jnp.sum(accepted)

    def _require_enough_walkers(self, d: int) -> None:
        if d == 0:
            raise InvalidValue("engine `ensemble` has no free parameter to sample", hint="name some in `problem.free`")
        if self.walkers < 2 * d:
            raise InvalidValue(
                f"engine `ensemble`: {self.walkers} walkers are too few for {d} free parameters",
                hint=f"set `engine.walkers` to an even number of at least {2 * d}",
            )


def build(options: EnsembleOptions) -> Ensemble:
    max_steps = options.steps // options.thin
    step_bytes = 8 * options.walkers * (min(options.walkers // 2, _TYPICAL_D) + 1)
    return Ensemble(
        a=options.a,
        spread=options.spread,
        walkers=options.walkers,
        burn_in=options.burn_in_updates,
        thin=options.thin,
        start_from=options.init,
        max_steps=max_steps,
        chunk_steps=max(1, min(max_steps, _CHUNK_BYTES // step_bytes)),
    )


def _threefry(key: PRNGKeyArray) -> PRNGKeyArray:
    """A threefry key from any key, so that its raw words have one shape everywhere."""
    return jax.random.wrap_key_data(jax.random.bits(key, (2,), jnp.uint32), impl="threefry2x32")


def _density(target: Target):
    """ln posterior density in u; −inf where it is +inf or not a number, so that no walker is ever stuck there."""

    def density(u: Float[Array, " d"]) -> Float[Array, ""]:
        value = target.log_posterior_u(u)
        return jnp.where(value < jnp.inf, value, -jnp.inf)

    return density


def _deal(halves: Float[Array, "2 half *"], crossed: Bool[Array, " half"]) -> Float[Array, "2 half *"]:
    """Swap walker i of one half with walker i of the other where `crossed`; doing it again undoes it."""
    swap = jax.vmap(jnp.where)
    first, second = halves
    return jnp.stack([swap(crossed, second, first), swap(crossed, first, second)])
