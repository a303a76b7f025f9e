"""Hamiltonian Monte Carlo: `nuts` and `hmc`, independent chains side by side, tuned while they warm up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from blackjax.mcmc import hmc, nuts
from jaxtyping import Array, Float, Int, PRNGKeyArray

from campaign.engines.base import AbstractEngine, Field, Info, Outcome, Result
from campaign.engines.catalogue import HmcOptions, NutsOptions
from campaign.engines.curvature import laplace_covariance
from campaign.engines.mapped import mapped
from campaign.engines.mixing import Mixing, mixing_remarks
from campaign.engines.sampling import best_so_far, density, threefry
from campaign.engines.walkers import starts
from campaign.engines.warmup import Tuning, Warmup
from campaign.errors import InvalidValue
from campaign.problem.target import Target

_CHUNK_BYTES = 1 << 20  # trace of one run between two hand-overs
_TYPICAL_D = 16
_NUTS: Any = nuts.build_kernel()
_HMC: Any = hmc.build_kernel()
RHAT, ESS, EBFMI = 1.01, 400.0, 0.3  # above, below, below: not to be trusted (Vehtari et al. 2021; Betancourt 2016)


class Energy(NamedTuple):
    """Mean, scatter and summed squared changes of the energy of a chain, for E-BFMI."""

    last: Float[Array, ""]
    mean: Float[Array, ""]
    scatter: Float[Array, ""]
    changes: Float[Array, ""]


class Chains(NamedTuple):
    """State of a run of C chains. Everything random follows from `key` and `updates`.

    Attributes:
        position: place in v = u / typical change, with log density and its gradient there, of each chain.
        tuning, energy: of each chain.
        key: raw words of a threefry key.
        updates: draws done of every chain.
        accepted: sum of the acceptance rates after warm-up, of each chain.
        divergent, saturated: draws after warm-up that diverged, or stopped at the longest trajectory.
        leapfrogs: gradients so far.
        mean, covariance: of the draws after warm-up, in theta; filled in by the monitor before the end.
        best, best_log_prob: theta of the highest posterior density (in theta) that was recorded, and that density.
    """

    position: Any
    tuning: Tuning
    energy: Energy
    key: Array
    updates: Int[Array, ""]
    accepted: Float[Array, " C"]
    divergent: Int[Array, ""]
    saturated: Int[Array, ""]
    leapfrogs: Int[Array, ""]
    mean: Float[Array, " d"]
    covariance: Float[Array, "d d"]
    best: Float[Array, " d"]
    best_log_prob: Float[Array, ""]


class Hamiltonian(AbstractEngine):
    """Chains that follow the gradient of the posterior: trajectories of H(v, p) = −ln p(v) + ½ pᵀM⁻¹p by leapfrog
    steps.

    `nuts` doubles a trajectory until it turns back and draws from it (multinomial, at most 2^`doublings` steps); `hmc`
    makes `leapfrog` steps, of a size that is varied by ±`jitter`, and accepts or rejects where it ends.

    The chains move in v = u / typical change of u, where u is unbounded: a parameter with bounds (its own or its
    prior's) and no transform gets the transform that they ask for (`Target.unbounded`). The first `warmup` draws tune
    step size (dual averaging to `target_accept`) and mass matrix M (windows of doubling length, as Stan), each chain
    for itself; they are recorded and left out of the posterior.

    One engine step is `thin` draws of every chain, and records the last. Draw k of a run uses the key
    ``fold_in(key, k)``: neither thinning, chunks of the trace, a resume nor a longer run change a chain's path.

    Trace: ``loss`` = −mean ln posterior of the chains; ``theta`` (walker, parameter), ``log_prob``, ``step_size``,
    ``divergent`` (walker): a walker is a chain here; ``accepted``, mean acceptance rate.

    Result: posterior mean and standard deviation after warm-up; ``loss`` is −ln L at the mean. "Converged" when R-hat
    of the chains is at most 1.01, the effective sample size at least 400 and E-BFMI at least 0.3 for every parameter
    and chain, and no draw after warm-up diverged.

    Source: Hoffman & Gelman 2014, JMLR 15, 1593; Betancourt 2017, arXiv:1701.02434; kernels of blackjax.
    Checked: tests/oracle/test_hamiltonian.py, exact Gaussians, funnel, blackjax on the same target; posteriordb.
    """

    target_accept: Float[Array, ""] = eqx.field(converter=jnp.asarray)
    spread: Float[Array, ""] = eqx.field(converter=jnp.asarray)
    jitter: Float[Array, ""] = eqx.field(converter=jnp.asarray)
    positions: Float[Array, "C d"] | None
    kind: str = eqx.field(static=True)
    chains: int = eqx.field(static=True)
    warmup: int = eqx.field(static=True)
    thin: int = eqx.field(static=True)
    length: int = eqx.field(static=True)
    is_dense: bool = eqx.field(static=True)
    metric: str = eqx.field(static=True)
    start_from: str = eqx.field(static=True)
    max_steps: int = eqx.field(static=True)
    chunk_steps: int = eqx.field(static=True)

    def init(self, target: Target, key: PRNGKeyArray) -> Chains:
        d = target.scale.shape[0]
        if d == 0:
            raise InvalidValue(
                f"engine `{self.kind}` has no free parameter to sample", hint="name some in `problem.free`"
            )
        target = target.unbounded()
        start_key, chain_key = jax.random.split(threefry(key))
        u, _ = starts(target, self.start_from, self.chains, self.spread, self.positions, start_key, density(target))
        scale = _scale(target)
        position = jax.vmap(lambda v: hmc.init(v, self._density(target)))(u / scale[None, :])
        zero = jnp.zeros(self.chains, u.dtype)
        return Chains(
            position=position,
            tuning=jax.vmap(self._warmup.begin)(jnp.stack([self._first_metric(target)] * self.chains)),
            energy=Energy(jnp.full(self.chains, jnp.nan, u.dtype), zero, zero, zero),
            key=jax.random.key_data(chain_key),
            updates=jnp.zeros((), jnp.int32),
            accepted=zero,
            divergent=jnp.zeros((), jnp.int32),
            saturated=jnp.zeros((), jnp.int32),
            leapfrogs=jnp.zeros((), jnp.int32),
            mean=target.start_theta(),
            covariance=jnp.full((d, d), jnp.nan, u.dtype),
            best=target.start_theta(),
            best_log_prob=jnp.full((), -jnp.inf, u.dtype),
        )

    def step(self, target: Target, state: Chains) -> tuple[Chains, Info]:
        target = target.unbounded()
        indices = state.updates + jnp.arange(self.thin, dtype=jnp.int32)
        state, (accepted, divergent) = jax.lax.scan(lambda s, k: self._draw(target, s, k), state, indices)
        u = state.position.position * _scale(target)[None, :]
        theta = jax.vmap(target.theta)(u)
        log_prob = state.position.logdensity - jax.vmap(target.log_jacobian)(u)
        best, best_log_prob = best_so_far(theta, log_prob, state.best, state.best_log_prob)
        state = state._replace(best=best, best_log_prob=best_log_prob)
        info = {
            "loss": -jnp.mean(log_prob),
            "theta": theta,
            "log_prob": log_prob,
            "accepted": jnp.mean(accepted),
            "step_size": self._warmup.step_size(state.tuning, state.updates),
            "divergent": jnp.any(divergent, axis=0),
        }
        return state, info

    def outcome(self, state: Chains) -> Int[Array, ""]:
        """NONFINITE when a chain has no density or no gradient, which only a start without one causes."""
        lost = ~jnp.isfinite(state.position.logdensity) | ~jnp.all(jnp.isfinite(state.position.logdensity_grad), axis=1)
        return jnp.where(jnp.any(lost), Outcome.NONFINITE, Outcome.RUNNING)

    def at_budget(self) -> int:
        """All draws are done: what was asked. Whether they were enough is for the monitor to say."""
        return Outcome.CONVERGED

    def finish(self, target: Target, state: Chains) -> Result:
        n = jnp.maximum(state.updates - self.warmup, 1)
        ebfmi = jnp.where(state.energy.scatter > 0, state.energy.changes / state.energy.scatter, jnp.nan)
        metrics = {
            "acceptance": jnp.mean(state.accepted) / n,
            "log_prob_max": state.best_log_prob,
            "divergences": state.divergent,
            "saturated": state.saturated,
            "ebfmi_min": jnp.min(ebfmi),
            "step_size": jnp.mean(self._warmup.step_size(state.tuning, state.updates)),
        }
        return Result.of(
            state.mean,
            -target.log_likelihood_at(state.mean),
            -target.log_likelihood_at(target.start_theta()),
            stderr=jnp.sqrt(jnp.diagonal(state.covariance)),
            n_evaluations=state.leapfrogs + 2 * self.chains + 2,
            metrics=metrics,
            arrays={"covariance": state.covariance, "theta_best": state.best},
        )

    def fields(self, target: Target) -> dict[str, Field]:
        return {
            "loss": Field(),
            "theta": Field(("walker", "parameter")),
            "log_prob": Field(("walker",)),
            "accepted": Field(),
            "step_size": Field(("walker",)),
            "divergent": Field(("walker",)),
            "covariance": Field(("parameter", "parameter_b"), once=True),
            "theta_best": Field(("parameter",), once=True),
        }

    def monitor(self, n_runs: int) -> Mixing:
        return Mixing("theta", skip=-(-self.warmup // self.thin), thin=self.thin)

    def remarks(self, metrics: Mapping[str, np.ndarray]) -> list[str]:
        mixing = mixing_remarks(metrics, hint="raise `engine.steps`", rhat=RHAT, ess=ESS, taus=0.0)
        return ["; ".join(filter(None, texts)) for texts in zip(mixing, _trouble(metrics), strict=True)]

    @property
    def _warmup(self) -> Warmup:
        return Warmup(self.warmup, self.target_accept, self.is_dense)

    def _density(self, target: Target):
        """v → ln posterior density in u, for a target without bounds."""
        scale = _scale(target)
        return lambda v: target.log_posterior_u(v * scale)

    def _first_metric(self, target: Target) -> Array:
        """The inverse mass matrix before any draw, in v."""
        d = target.n_coordinates
        if self.metric == "scale":
            return jnp.eye(d, dtype=target.base.dtype) if self.is_dense else jnp.ones(d, target.base.dtype)
        scale = _scale(target)
        covariance = laplace_covariance(target, target.start()) / (scale[:, None] * scale[None, :])
        return covariance if self.is_dense else jnp.diagonal(covariance)

    def _draw(self, target: Target, state: Chains, k: Int[Array, ""]) -> tuple[Chains, tuple[Array, Array]]:
        """One draw of every chain: state, (acceptance rates, which diverged)."""
        key = jax.random.fold_in(jax.random.wrap_key_data(state.key, impl="threefry2x32"), k)
        keys = jax.random.split(key, self.chains)
        step_size = self._warmup.step_size(state.tuning, k)
        logdensity = self._density(target)

        def one(key: PRNGKeyArray, at: hmc.HMCState, size: Array, inverse_mass: Array):
            if self.kind == "nuts":
                return _NUTS(key, at, logdensity, size, inverse_mass, self.length)
            size = size * (
                1.0 + self.jitter * jax.random.uniform(jax.random.fold_in(key, 1), (), size.dtype, -1.0, 1.0)
            )
            return _HMC(key, at, logdensity, size, inverse_mass, self.length)

        position, info = jax.vmap(one)(keys, state.position, step_size, state.tuning.inverse_mass)
        rate = jnp.where(jnp.isfinite(info.acceptance_rate), info.acceptance_rate, 0.0)
        is_warm = k >= self.warmup
        tuning = jax.lax.cond(
            is_warm,
            lambda: state.tuning,
            lambda: jax.vmap(self._warmup.after, in_axes=(0, 0, 0, None))(state.tuning, position.position, rate, k),
        )
        n_steps = jnp.broadcast_to(jnp.asarray(info.num_integration_steps, jnp.int32), (self.chains,))
        is_long = n_steps >= 2**self.length - 1 if self.kind == "nuts" else jnp.zeros(self.chains, bool)
        state = state._replace(
            position=position,
            tuning=tuning,
            energy=jax.tree.map(
                lambda new, old: jnp.where(is_warm, new, old),
                _followed(state.energy, info.energy, k - self.warmup),
                state.energy,
            ),
            updates=k + 1,
            accepted=state.accepted + jnp.where(is_warm, rate, 0.0),
            divergent=state.divergent + jnp.sum(info.is_divergent & is_warm, dtype=jnp.int32),
            saturated=state.saturated + jnp.sum(is_long & is_warm, dtype=jnp.int32),
            leapfrogs=state.leapfrogs + jnp.sum(n_steps, dtype=jnp.int32),
        )
        return state, (rate, info.is_divergent)


def _scale(target: Target) -> Float[Array, " d"]:
    """A typical change of each coordinate; of one that is bent at most 1, which it is too where a start is a bound."""
    start = target.start()
    if not target.map.is_elementwise:
        return jnp.ones_like(start)
    slope = jax.jvp(target.theta, (start,), (jnp.ones_like(start),))[1]
    scale = target.scale / jnp.abs(slope)
    bent = zip(target.space.parameters, target.map.is_bent, strict=True)
    is_bent = jnp.asarray([p.transform != "identity" or b for p, b in bent])
    return jnp.where(is_bent, jnp.where(scale < 1.0, scale, 1.0), scale)


def _followed(energy: Energy, value: Float[Array, " C"], n_before: Int[Array, ""]) -> Energy:
    """With the energy of one more draw, of which `n_before` came before."""
    shift = value - energy.mean
    mean = energy.mean + shift / jnp.maximum(n_before + 1, 1)
    change = jnp.where(n_before > 0, value - energy.last, 0.0)
    return Energy(value, mean, energy.scatter + shift * (value - mean), energy.changes + change**2)


def _trouble(metrics: Mapping[str, np.ndarray]) -> list[str]:
    """Divergences and energies that mix slowly, run by run; else ""."""
    texts = []
    for n, ebfmi in zip(metrics["divergences"].tolist(), metrics["ebfmi_min"].tolist(), strict=True):
        found = []
        if n > 0:
            found.append(
                f"{n:.0f} divergent draws after warm-up: parts of the posterior may not be reached; "
                "reparametrise, or raise `engine.target_accept`"
            )
        if ebfmi < EBFMI:
            found.append(f"E-BFMI {ebfmi:.2f} is below {EBFMI}: heavy tails, reparametrise")
        texts.append("; ".join(found))
    return texts


def build_nuts(options: NutsOptions) -> AbstractEngine:
    return _built("nuts", options, options.doublings, 0.0)


def build_hmc(options: HmcOptions) -> AbstractEngine:
    return _built("hmc", options, options.leapfrog, options.jitter)


def _built(kind: str, options: NutsOptions | HmcOptions, length: int, jitter: float) -> AbstractEngine:
    max_steps = options.steps // options.thin
    engine = Hamiltonian(
        target_accept=options.target_accept,
        spread=options.spread,
        jitter=jitter,
        positions=None if options.positions is None else jnp.asarray(options.positions),
        kind=kind,
        chains=options.chains,
        warmup=options.warmup,
        thin=options.thin,
        length=length,
        is_dense=options.mass == "dense",
        metric=options.metric,
        start_from=options.init,
        max_steps=max_steps,
        chunk_steps=max(1, min(max_steps, _CHUNK_BYTES // (8 * options.chains * (_TYPICAL_D + 3)))),
    )
    return mapped(engine, options)
