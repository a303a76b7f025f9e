"""The affine-invariant ensemble sampler: a crowd of walkers that move by each other's places."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from campaign.engines.base import AbstractEngine, Field, Info, Outcome, Result
from campaign.engines.catalogue import DEFAULT_WALKERS, EnsembleOptions
from campaign.engines.mapped import mapped
from campaign.engines.mixing import Mixing, mixing_remarks
from campaign.engines.moves import Draw, propose
from campaign.engines.sampling import best_so_far, density, failure_metrics, failure_notes, judged_density, threefry
from campaign.engines.walkers import starts
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
        accepted: proposals of each walker accepted so far.
        failures: proposals that had no density so far, by `sampling.REASONS`.
        best: theta of the highest posterior density (in theta) that a recorded walker had.
        best_log_prob: that density.
    """

    u: Float[Array, "W d"]
    log_density: Float[Array, " W"]
    key: Array
    updates: Int[Array, ""]
    mean: Float[Array, " d"]
    covariance: Float[Array, "d d"]
    accepted: Int[Array, " W"]
    failures: Int[Array, " 3"]
    best: Float[Array, " d"]
    best_log_prob: Float[Array, ""]


class Ensemble(AbstractEngine):
    """Affine-invariant moves of W walkers in two halves: the stretch move, or those that `moves` names with their
    weights.

    Each walker x of one half is proposed a place that depends on x and on walkers of the other half only, and goes
    there with probability min(1, factor · p(proposal)/p(x)). Then the halves change roles. One move is drawn for each
    update of all walkers (`campaign.engines.moves`).

    ``split = "random"``: before every update a coin for each pair (i, i + W/2) decides who is in which half; with fixed
    halves tau is 12 % longer at d = 10. ``"even_odd"``: walkers with even and odd numbers, always.

    The walkers move in u, with the posterior as a density in u (`Target.log_posterior_u`). Without transforms u is
    theta and the moves are those of emcee; with a log or logit transform the distribution of theta is the same, and
    bounds are never hit. What is traced and reported is theta, and the posterior as a density in theta.

    One engine step is `thin` updates of every walker, and records the last; updates that nothing would record are not
    done. Update k of a run uses the key ``fold_in(key, k)``: neither thinning, chunks of the trace nor a resume change
    a walker's path.

    Where the model gives NaN or infinity the density is zero; ``metric.rejected_nan``, ``…_infinite`` and ``…_outside``
    (of bounds or prior) count these proposals.

    Trace: ``loss`` = −mean ln posterior of the walkers; ``theta`` (walker, parameter); ``log_prob`` (walker);
    ``accepted``, fraction of the step's proposals.

    Result: posterior mean and standard deviation of the recorded steps after burn-in; ``loss`` is −ln L at the mean;
    ``acceptance`` (walker), accepted fraction of each walker's proposals.

    Source: Goodman & Weare 2010, CAMCoS 5, 65, eqs. 7–10; halves: Foreman-Mackey et al. 2013, arXiv:1202.3665, alg. 3.
    Checked: tests/oracle/test_ensemble.py: known Gaussian and banana, emcee on the same target, invariance.
    """

    a: Float[Array, ""] = eqx.field(converter=jnp.asarray)
    spread: Float[Array, ""] = eqx.field(converter=jnp.asarray)
    weights: Float[Array, " moves"]
    positions: Float[Array, "W d"] | None
    moves: tuple[str, ...] = eqx.field(static=True)
    is_random_split: bool = eqx.field(static=True)
    walkers: int | None = eqx.field(static=True)
    burn_in: int = eqx.field(static=True)
    thin: int = eqx.field(static=True)
    start_from: str = eqx.field(static=True)
    max_steps: int = eqx.field(static=True)
    chunk_steps: int = eqx.field(static=True)

    def init(self, target: Target, key: PRNGKeyArray) -> Crowd:
        d = target.scale.shape[0]
        walkers = self._n_walkers(target.n_coordinates)
        start_key, chain_key = jax.random.split(threefry(key))
        u, log_density = starts(
            target, self.start_from, walkers, self.spread, self.positions, start_key, density(target)
        )
        dtype = u.dtype
        return Crowd(
            u=u,
            log_density=log_density,
            key=jax.random.key_data(chain_key),
            updates=jnp.zeros((), jnp.int32),
            mean=target.theta(target.start()),
            covariance=jnp.full((d, d), jnp.nan, dtype),
            accepted=jnp.zeros(walkers, int),
            failures=jnp.zeros(3, jnp.int32),
            best=target.theta(target.start()),
            best_log_prob=jnp.full((), -jnp.inf, dtype),
        )

    def step(self, target: Target, state: Crowd) -> tuple[Crowd, Info]:
        u, log_density, accepted, failures = self._move(target, state)
        theta = jax.vmap(target.theta)(u)
        log_prob = log_density - jax.vmap(target.log_jacobian)(u)
        best, best_log_prob = best_so_far(theta, log_prob, state.best, state.best_log_prob)
        proposals = self.thin * u.shape[0]
        state = state._replace(
            u=u,
            log_density=log_density,
            updates=state.updates + self.thin,
            accepted=state.accepted + accepted,
            failures=state.failures + failures,
            best=best,
            best_log_prob=best_log_prob,
        )
        info = {
            "loss": -jnp.mean(log_prob),
            "theta": theta,
            "log_prob": log_prob,
            "accepted": jnp.sum(accepted) / jnp.asarray(proposals, theta.dtype),
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
        walkers = state.u.shape[0]
        acceptance = (state.accepted / jnp.maximum(state.updates, 1)).astype(state.best.dtype)
        return Result.of(
            state.mean,
            -target.log_likelihood(target.u(state.mean)),
            -target.log_likelihood(target.start()),
            stderr=jnp.sqrt(jnp.diagonal(state.covariance)),
            n_evaluations=walkers * (state.updates + 1) + 2,
            metrics={
                "acceptance": jnp.mean(acceptance),
                "log_prob_max": state.best_log_prob,
                "n_proposals": walkers * state.updates,
                **failure_metrics(state.failures),
            },
            arrays={"covariance": state.covariance, "theta_best": state.best, "acceptance": acceptance},
        )

    def fields(self, target: Target) -> dict[str, Field]:
        return {
            "loss": Field(),
            "theta": Field(("walker", "parameter")),
            "log_prob": Field(("walker",)),
            "accepted": Field(),
            "covariance": Field(("parameter", "parameter_b"), once=True),
            "theta_best": Field(("parameter",), once=True),
            "acceptance": Field(("walker",), once=True),
        }

    def monitor(self, n_runs: int) -> Mixing:
        return Mixing("theta", skip=-(-self.burn_in // self.thin), thin=self.thin)

    def remarks(self, metrics: Mapping[str, np.ndarray]) -> list[str]:
        return mixing_remarks(metrics, hint="raise `engine.steps`")

    def notes(self, metrics: Mapping[str, np.ndarray], names: Sequence[str] = ()) -> list[str]:
        return failure_notes(metrics)

    def _move(self, target: Target, state: Crowd) -> tuple[Array, Array, Array, Array]:
        """`thin` updates of all walkers: positions, log densities, accepted proposals of each walker, failures."""
        half = state.u.shape[0] // 2
        key = jax.random.wrap_key_data(state.key, impl="threefry2x32")
        judged = judged_density(target)

        def move(x: Array, old: Array, others: Array, chosen: Array, draw: Draw, lot: Array) -> tuple[Array, ...]:
            proposal, factor = propose(self.moves, chosen, x, others, draw, self.a)
            new, reasons = judged(proposal)
            accept = jnp.log(lot) < factor + new - old
            return jnp.where(accept, proposal, x), jnp.where(accept, new, old), accept, reasons

        def move_half(carry: tuple[Array, Array], given: tuple[Array, Draw, Array]) -> tuple[tuple[Array, Array], Any]:
            (x, others), (old, rest) = carry
            moved, value, accept, reasons = jax.vmap(move, in_axes=(0, 0, None, None, 0, 0))(x, old, others, *given)
            return (jnp.stack([others, moved]), jnp.stack([rest, value])), (
                accept,
                jnp.sum(reasons, axis=0, dtype=jnp.int32),
            )

        def update(carry: tuple[Array, Array], index: Int[Array, ""]) -> tuple[tuple[Array, Array], Any]:
            u, log_density = carry
            own = jax.random.fold_in(key, index)
            draws = jax.random.uniform(own, (2, half, 4), u.dtype)
            chosen, numbers = self._choices(own, draws)
            crossed = (draws[0, :, 3] < 0.5) & self.is_random_split
            halves = _deal(self._paired(u), crossed), _deal(self._paired(log_density), crossed)
            given = (jnp.broadcast_to(chosen, 2), numbers, draws[:, :, 2])
            (u, log_density), (accepted, failures) = jax.lax.scan(move_half, halves, given)
            unpaired = [self._unpaired(_deal(x, crossed)) for x in (u, log_density, accepted)]
            return (unpaired[0], unpaired[1]), (unpaired[2], jnp.sum(failures, axis=0, dtype=jnp.int32))

        indices = state.updates + jnp.arange(self.thin, dtype=jnp.int32)
        (u, log_density), (accepted, failures) = jax.lax.scan(update, (state.u, state.log_density), indices)
        return u, log_density, jnp.sum(accepted, axis=0), jnp.sum(failures, axis=0, dtype=jnp.int32)

    def _choices(self, key: PRNGKeyArray, draws: Float[Array, "2 half 4"]) -> tuple[Int[Array, ""], Draw]:
        """Which move this update makes, and the numbers that it needs; the stretch move alone needs no more of them."""
        if self.moves == ("stretch",):
            return jnp.zeros((), jnp.int32), Draw(draws[:, :, :3], draws[:, :, 0])
        lot_key, uniform_key, normal_key = jax.random.split(jax.random.fold_in(key, 1), 3)
        lot = jax.random.uniform(lot_key, (), draws.dtype)
        chosen = jnp.minimum(jnp.sum(lot >= jnp.cumsum(self.weights)), len(self.moves) - 1).astype(jnp.int32)
        uniform = jax.random.uniform(uniform_key, (*draws.shape[:2], 3), draws.dtype)
        return chosen, Draw(uniform, jax.random.normal(normal_key, draws.shape[:2], draws.dtype))

    def _paired(self, x: Array) -> Float[Array, "2 half *"]:
        """Both halves, walker by walker, before coins are thrown."""
        half = x.shape[0] // 2
        if self.is_random_split:
            return x.reshape(2, half, *x.shape[1:])
        return jnp.stack([x[0::2], x[1::2]])

    def _unpaired(self, halves: Array) -> Array:
        if self.is_random_split:
            return halves.reshape(-1, *halves.shape[2:])
        return jnp.swapaxes(halves, 0, 1).reshape(-1, *halves.shape[2:])

    def _n_walkers(self, d: int) -> int:
        if d == 0:
            raise InvalidValue("engine `ensemble` has no free parameter to sample", hint="name some in `problem.free`")
        walkers = max(2 * d, DEFAULT_WALKERS) if self.walkers is None else self.walkers
        if walkers < 2 * d:
            raise InvalidValue(
                f"engine `ensemble`: {walkers} walkers are too few for {d} free parameters",
                hint=f"set `engine.walkers` to an even number of at least {2 * d}",
            )
        return walkers


def build(options: EnsembleOptions) -> AbstractEngine:
    max_steps = options.steps // options.thin
    walkers = DEFAULT_WALKERS if options.walkers is None else options.walkers
    step_bytes = 8 * walkers * (min(walkers // 2, _TYPICAL_D) + 1)
    total = sum(options.moves.values())
    engine = Ensemble(
        a=options.a,
        spread=options.spread,
        weights=jnp.asarray([weight / total for weight in options.moves.values()]),
        positions=None if options.positions is None else jnp.asarray(options.positions),
        moves=tuple(options.moves),
        is_random_split=options.split == "random",
        walkers=options.walkers,
        burn_in=options.burn_in_updates,
        thin=options.thin,
        start_from=options.init,
        max_steps=max_steps,
        chunk_steps=max(1, min(max_steps, _CHUNK_BYTES // step_bytes)),
    )
    return mapped(engine, options)


def _deal(halves: Float[Array, "2 half *"], crossed: Bool[Array, " half"]) -> Float[Array, "2 half *"]:
    """Swap walker i of one half with walker i of the other where `crossed`; doing it again undoes it."""
    swap = jax.vmap(jnp.where)
    first, second = halves
    return jnp.stack([swap(crossed, second, first), swap(crossed, first, second)])
