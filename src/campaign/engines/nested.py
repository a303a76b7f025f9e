"""`nested`: the evidence of a model by nested sampling, and its posterior."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from blackjax.ns import nss
from blackjax.ns.adaptive import AdaptiveNSState
from blackjax.ns.base import StateWithLogLikelihood
from jaxtyping import Array, Float, Int, PRNGKeyArray

from campaign.engines.base import AbstractEngine, Field, Info, Outcome, Result
from campaign.engines.catalogue_evidence import NestedOptions, probability_levels, quantiles_of, require_volume
from campaign.engines.nested_sums import Sums, died, ended, nothing_yet
from campaign.engines.sampling import FAILED_NOTE, threefry
from campaign.errors import InvalidValue
from campaign.problem.target import Target

_FINISH = 2**31 - 1  # number of the key of the last live points
LEAST_MOVES = 10  # with 6 of them in three dimensions errors of ln Z are a fifth too small in a corner of the prior


class Nested(NamedTuple):
    """State of a run. Everything random follows from `key` and `steps`.

    Attributes:
        live: the live points in u, their likelihoods and the contours that they were born at.
        sums: of the dead points.
        key: raw words of a threefry key.
        steps: steps done.
        asked: model evaluations, those of the first live points included.
        stuck: slice moves that found no new place.
        failed: fraction of the first live points without a finite likelihood.
    """

    live: AdaptiveNSState
    sums: Sums
    key: Array
    steps: Int[Array, ""]
    asked: Int[Array, ""]
    stuck: Int[Array, ""]
    failed: Float[Array, ""]


class NestedSampling(AbstractEngine):
    """Nested slice sampling: live points climb in likelihood while the prior volume above it shrinks.

    Z = ∫ L π dθ with L = exp(log_likelihood) as the problem defines it — whether it holds the Gaussian's constants is
    the problem's affair — and π the product of the parameters' normalised priors, each cut at its bounds; uniform
    between two finite bounds where a parameter has none. Where the model gives NaN or infinity L is zero.

    In each step the `n_delete` points of lowest likelihood die and as many are born above the highest of theirs, each
    by `n_inner` slice moves from a survivor, in directions from the covariance of the live points. What dies among
    equal likelihoods is counted as by Fowlie, Handley & Su: points born on that contour do not count as alive there.
    The points move in u, with the prior as a density in u. Step k uses the key ``fold_in(key, k)``.

    A run is `converged` where ln Z_live − ln Z < ln `dlogz`, with Z_live the mean likelihood of the live points times
    the volume that is left; `stalled` where all live points have one likelihood, so that none can be above it (the
    evidence then takes the rest of the prior for as high); `nonfinite` where no first live point has a likelihood.

    Trace: ``theta`` (point, parameter) of the points that died in the step by ascending likelihood, ``log_likelihood``,
    ``log_likelihood_birth`` (NaN: drawn from the prior), ``log_weight`` = ln (L ΔX) (point); ``log_evidence`` so far;
    ``loss`` = −ln L of the highest of them.

    Result: posterior mean and standard deviation; ``metric.log_evidence`` with ``…_stderr``, the spread of ln Z over
    256 random sequences of shrinkages; ``information`` H = Σ p ln L − ln Z [nats]; ``n_effective`` = (Σw)²/Σw²; the
    last live points take part in all of it. Arrays: ``covariance``; ``draws`` (draw, parameter) of equal weight;
    ``live``, ``live_log_likelihood``, ``live_log_likelihood_birth``, ``live_log_weight`` of the last live points.

    Source: Skilling 2006, Bayesian Analysis 1, 833; kernel: Yallup, Kroupa & Handley 2026, arXiv:2601.23252, as in
    blackjax; plateaus: Fowlie, Handley & Su 2021, MNRAS 503, 1199.
    Checked: tests/oracle/test_nested.py: closed forms, quadrature, blackjax's own weights, errors over 20 seeds.
    """

    dlogz: Float[Array, ""] = eqx.field(converter=jnp.asarray)
    n_live: int = eqx.field(static=True)
    n_delete: int = eqx.field(static=True)
    n_inner: int | None = eqx.field(static=True)
    draws: int = eqx.field(static=True)
    max_steps: int = eqx.field(static=True)
    chunk_steps: int = eqx.field(static=True)

    def init(self, target: Target, key: PRNGKeyArray) -> Nested:
        _require_evidence(target, self.n_live)
        start_key, chain_key = jax.random.split(threefry(key))
        born = jax.vmap(_newborn(target))(live_points(target, self.n_live, start_key))
        live = nss.init(born.position, lambda _: born, update_inner_kernel_params_fn=nss.live_covariance_factor)
        failed = jnp.mean((born.loglikelihood == -jnp.inf).astype(target.base.dtype))
        zero = jnp.zeros((), jnp.int32)
        return Nested(
            live=live,
            sums=nothing_yet(target.start_theta(), self.draws),
            key=jax.random.key_data(chain_key),
            steps=zero,
            asked=zero + self.n_live,
            stuck=zero,
            failed=failed,
        )

    def step(self, target: Target, state: Nested) -> tuple[Nested, Info]:
        key = jax.random.fold_in(jax.random.wrap_key_data(state.key, impl="threefry2x32"), state.steps)
        move_key, sum_key = jax.random.split(key)
        kernel = nss.build_kernel(_newborn(target), self._n_inner(target), self.n_delete)
        live, info = kernel(move_key, state.live)
        dead, moves = info.particles, info.update_info
        theta = jax.vmap(target.theta)(jnp.asarray(dead.position))
        alive = _alive(state.live.particles.loglikelihood_birth, dead.loglikelihood)
        sums, log_weight = died(state.sums, theta, dead.loglikelihood, alive, sum_key)
        asked = jnp.sum(moves.num_expansions + moves.num_shrink + 2)
        state = state._replace(
            live=live,
            sums=sums,
            steps=state.steps + 1,
            asked=state.asked + asked.astype(jnp.int32),
            stuck=state.stuck + jnp.sum(~moves.is_accepted, dtype=jnp.int32),
        )
        trace = {
            "loss": -jnp.max(dead.loglikelihood),
            "theta": theta,
            "log_likelihood": dead.loglikelihood,
            "log_likelihood_birth": dead.loglikelihood_birth,
            "log_weight": log_weight,
            "log_evidence": sums.log_evidence,
        }
        return state, trace

    def outcome(self, state: Nested) -> Int[Array, ""]:
        heights = state.live.particles.loglikelihood
        highest = jnp.max(heights)
        rest = jax.scipy.special.logsumexp(heights) - jnp.log(self.n_live) + state.sums.log_volume
        has_converged = (state.sums.log_evidence > -jnp.inf) & (rest - state.sums.log_evidence < jnp.log(self.dlogz))
        is_flat = jnp.min(heights) == highest
        running = jnp.where(is_flat, Outcome.STALLED, Outcome.RUNNING)
        running = jnp.where(has_converged, Outcome.CONVERGED, running)
        return jnp.where(highest == -jnp.inf, Outcome.NONFINITE, running).astype(jnp.int32)

    def finish(self, target: Target, state: Nested) -> Result:
        key = jax.random.fold_in(jax.random.wrap_key_data(state.key, impl="threefry2x32"), _FINISH)
        live = state.live.particles
        theta = jax.vmap(target.theta)(jnp.asarray(live.position))
        sums, log_weight = ended(state.sums, theta, live.loglikelihood, key)
        n_moves = jnp.maximum(state.steps * self.n_delete * self._n_inner(target), 1)
        has_any = jnp.max(live.loglikelihood) > -jnp.inf
        return Result.of(
            sums.mean,
            -target.log_likelihood_at(sums.mean),
            -target.log_likelihood_at(target.start_theta()),
            stderr=jnp.where(has_any, jnp.sqrt(jnp.diagonal(sums.covariance)), jnp.nan),
            n_evaluations=state.asked + 2,
            metrics={
                "log_evidence": sums.log_evidence,
                "log_evidence_stderr": jnp.std(sums.evidences),
                "information": sums.mean_log_likelihood - sums.log_evidence,
                "n_effective": jnp.exp(2.0 * sums.log_evidence - sums.log_squares),
                "log_volume": state.sums.log_volume,
                "live_fraction": -jnp.expm1(state.sums.log_evidence - sums.log_evidence),
                "live_spread": jnp.max(live.loglikelihood) - jnp.min(live.loglikelihood),
                "failed_prior": state.failed,
                "stuck_moves": state.stuck / n_moves,
            },
            arrays={
                "covariance": sums.covariance,
                "draws": sums.draws,
                "live": theta,
                "live_log_likelihood": live.loglikelihood,
                "live_log_likelihood_birth": live.loglikelihood_birth,
                "live_log_weight": log_weight,
            },
        )

    def fields(self, target: Target) -> dict[str, Field]:
        return {
            "loss": Field(),
            "theta": Field(("point", "parameter")),
            "log_likelihood": Field(("point",)),
            "log_likelihood_birth": Field(("point",)),
            "log_weight": Field(("point",)),
            "log_evidence": Field(),
            "covariance": Field(("parameter", "parameter_b"), once=True),
            "draws": Field(("draw", "parameter"), once=True),
            "live": Field(("live_point", "parameter"), once=True),
            "live_log_likelihood": Field(("live_point",), once=True),
            "live_log_likelihood_birth": Field(("live_point",), once=True),
            "live_log_weight": Field(("live_point",), once=True),
        }

    def notes(self, metrics: Mapping[str, np.ndarray], names: Sequence[str] = ()) -> list[str]:
        columns = ("live_spread", "failed_prior", "stuck_moves", "live_fraction")
        return [_note(*row) for row in zip(*(metrics[name].tolist() for name in columns), strict=True)]

    def _n_inner(self, target: Target) -> int:
        return max(LEAST_MOVES, 2 * target.n_coordinates) if self.n_inner is None else self.n_inner


def live_points(target: Target, n: int, key: PRNGKeyArray) -> Float[Array, "n d"]:
    """u of n independent draws from the prior.

    By interpolation between quantiles of each prior: each of 4,096 cells, and of ever smaller ones in the tails, has
    exactly its probability.
    """
    dtype = target.base.dtype
    table = jnp.asarray(np.stack([quantiles_of(p) for p in target.space.parameters]), dtype)
    uniform = jax.random.uniform(key, (n, table.shape[0]), dtype)
    theta = jax.vmap(jnp.interp, in_axes=(1, None, 0), out_axes=1)(
        uniform, jnp.asarray(probability_levels(), dtype), table
    )
    return jax.vmap(target.u)(theta)


def _newborn(target: Target):
    """(u, birth contour) → a point as blackjax keeps it: prior density in u, likelihood; −inf where there is none."""

    def newborn(u: Float[Array, " d"], loglikelihood_birth: Array | float = jnp.nan) -> StateWithLogLikelihood:
        prior, likelihood = target.posterior_parts(u)
        density = prior + target.log_jacobian(u)
        density = jnp.where(jnp.isfinite(density), density, -jnp.inf)
        likelihood = jnp.where(likelihood < jnp.inf, likelihood, -jnp.inf)  # NaN too
        return StateWithLogLikelihood(u, density, likelihood, loglikelihood_birth * jnp.ones_like(likelihood))

    return newborn


def _alive(births: Float[Array, " N"], deaths: Float[Array, " k"]) -> Int[Array, " k"]:
    """How many live points there are at each of successive deaths: those born below its likelihood, less the dead."""
    is_below = jnp.isnan(births)[None, :] | (births[None, :] < deaths[:, None])
    alive = jnp.sum(is_below, axis=1, dtype=jnp.int32) - jnp.arange(deaths.shape[0], dtype=jnp.int32)
    return jnp.maximum(alive, 1)


def _require_evidence(target: Target, n_live: int) -> None:
    """Whether this target has an evidence.

    Raises:
        InvalidValue: no free parameter, no prior volume, or a likelihood that is none.
    """
    if not len(target.space):
        raise InvalidValue("engine `nested` has no free parameter to sample", hint="name some in `problem.free`")
    if target.is_mean:
        raise InvalidValue(f"ln L of `{target.name}` is a mean over the data: it has no evidence", hint="give the sum")
    require_volume(target.space, n_live)


def _note(spread: float, failed: float, stuck: float, live: float) -> str:
    """What to say of one run; "" where nothing."""
    said = []
    if failed == 1.0:
        return "no point of the prior has a finite likelihood: look at the model, or narrow the priors"
    if spread == 0.0:
        said.append("all live points have the same likelihood: ln Z takes the rest of the prior for as high")
    if failed > FAILED_NOTE:
        said.append(f"the model gave no finite likelihood at {failed:.0%} of the first points: it is zero there")
    if stuck > 0.01:
        said.append(f"{stuck:.0%} of the slice moves found no new place: the evidence may be biased")
    if live > 0.1 and spread > 0.0:
        said.append(f"{live:.0%} of the evidence is that of the last live points")
    return "; ".join(said)


def build(options: NestedOptions) -> NestedSampling:
    return NestedSampling(
        dlogz=options.dlogz,
        n_live=options.n_live,
        n_delete=options.dying,
        n_inner=options.n_inner,
        draws=options.draws,
        max_steps=options.max_steps,
        chunk_steps=min(options.max_steps, options.chunk_steps),
    )
