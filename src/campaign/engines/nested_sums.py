"""What nested sampling adds up while points die: evidence with its error, moments, and draws of equal weight."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from blackjax.ns.utils import log1mexp
from jax.scipy.special import logsumexp
from jaxtyping import Array, Float, Int, PRNGKeyArray

N_SIMULATED = 256  # shrinkages that the error of ln Z is the spread of: known to 4 %


class Shells(NamedTuple):
    """Points by ascending likelihood, and the logarithm of the prior volume that each stands for.

    Attributes:
        theta: (k, d).
        log_likelihood: (k,).
        log_width: with the mean shrinkage, (k,).
        simulated: with shrinkages drawn at random, (S, k).
    """

    theta: Float[Array, "k d"]
    log_likelihood: Float[Array, " k"]
    log_width: Float[Array, " k"]
    simulated: Float[Array, "S k"]


class Sums(NamedTuple):
    """Sums over all points that died.

    Attributes:
        log_volume: ln X of the prior volume that is left, with the mean shrinkage E[ln t] = −1/n.
        log_evidence: ln Z of the dead, Z = Σ w, w = L ΔX.
        log_squares: ln Σ w².
        mean, covariance: of theta, weighted by w.
        mean_log_likelihood: Σ w ln L / Z.
        draws: each is one of the dead, with probability w / Z. The draws are independent of one another.
        volumes, evidences: ln X and ln Z for each of `N_SIMULATED` sequences of random shrinkages.
    """

    log_volume: Float[Array, ""]
    log_evidence: Float[Array, ""]
    log_squares: Float[Array, ""]
    mean: Float[Array, " d"]
    covariance: Float[Array, "d d"]
    mean_log_likelihood: Float[Array, ""]
    draws: Float[Array, "n d"]
    volumes: Float[Array, " S"]
    evidences: Float[Array, " S"]


def nothing_yet(start: Float[Array, " d"], n_draws: int) -> Sums:
    """Before any point has died."""
    zero, nothing = jnp.zeros((), start.dtype), jnp.full((), -jnp.inf, start.dtype)
    return Sums(
        log_volume=zero,
        log_evidence=nothing,
        log_squares=nothing,
        mean=start,
        covariance=jnp.zeros((start.shape[0],) * 2, start.dtype),
        mean_log_likelihood=zero,
        draws=jnp.broadcast_to(start, (n_draws, start.shape[0])),
        volumes=jnp.zeros(N_SIMULATED, start.dtype),
        evidences=jnp.full(N_SIMULATED, -jnp.inf, start.dtype),
    )


def died(
    sums: Sums, theta: Float[Array, "k d"], log_likelihood: Float[Array, " k"], n: Int[Array, " k"], key: PRNGKeyArray
) -> tuple[Sums, Float[Array, " k"]]:
    """The sums after k points died in this order, and ln w of each.

    The volume shrinks by t at each death, t the largest of n uniform numbers: ln t = −E/n, E exponential with mean 1.

    Args:
        n: how many points were alive, that one included, at each death.

    Source: Skilling 2006, Bayesian Analysis 1, 833; several deaths in one step as one death after the other: Fowlie,
    Handley & Su 2021, MNRAS 503, 1199.
    """
    alive = n.astype(sums.mean.dtype)
    own, draw_key = jax.random.split(key)
    random = jax.random.exponential(own, (N_SIMULATED, n.shape[0]), alive.dtype)
    log_width, left = _shells(sums.log_volume, -1.0 / alive)
    simulated, volumes = jax.vmap(_shells)(sums.volumes, -random / alive[None, :])
    shells = Shells(theta, log_likelihood, log_width, simulated)
    return added(sums, shells, draw_key)._replace(log_volume=left, volumes=volumes), log_likelihood + log_width


def ended(
    sums: Sums, theta: Float[Array, "N d"], log_likelihood: Float[Array, " N"], key: PRNGKeyArray
) -> tuple[Sums, Float[Array, " N"]]:
    """The sums with what is still alive, each point with the same part of the volume that is left; and ln w of each.

    In the simulations they die one after the other and the last has all that is left then.
    """
    n_live = log_likelihood.shape[0]
    own, draw_key = jax.random.split(key)
    order = jnp.argsort(log_likelihood)
    alive = jnp.arange(n_live, 0, -1).astype(log_likelihood.dtype)
    random = jax.random.exponential(own, (N_SIMULATED, n_live), alive.dtype)
    widths, left = jax.vmap(_shells)(sums.volumes, -random / alive[None, :])
    widths = widths.at[:, -1].set(jnp.logaddexp(widths[:, -1], left))
    log_width = jnp.full(n_live, sums.log_volume - jnp.log(n_live))
    simulated = jnp.zeros_like(widths).at[:, order].set(widths)
    shells = Shells(theta, log_likelihood, log_width, simulated)
    return added(sums, shells, draw_key), log_likelihood + log_width


def added(sums: Sums, shells: Shells, key: PRNGKeyArray) -> Sums:
    """The sums with more shells; the volumes are left as they are."""
    log_weight = shells.log_likelihood + shells.log_width
    total = jnp.logaddexp(sums.log_evidence, logsumexp(log_weight))
    safe = jnp.where(total > -jnp.inf, total, 0.0)  # nothing has a likelihood yet: all parts are 0
    old, new = jnp.exp(sums.log_evidence - safe), jnp.exp(log_weight - safe)
    is_any = total > -jnp.inf
    mean = jnp.where(is_any, old * sums.mean + jnp.sum(new[:, None] * shells.theta, axis=0), sums.mean)
    shift, away = sums.mean - mean, shells.theta - mean[None, :]
    outer = shift[:, None] * shift[None, :]
    scatter = (new[:, None] * away).T @ away
    height = jnp.where(new > 0, new * jnp.where(new > 0, shells.log_likelihood, 0.0), 0.0)
    simulated = logsumexp(shells.log_likelihood[None, :] + shells.simulated, axis=1)
    return sums._replace(
        log_evidence=total,
        log_squares=jnp.logaddexp(sums.log_squares, logsumexp(2.0 * log_weight)),
        mean=mean,
        covariance=jnp.where(is_any, old * (sums.covariance + outer) + scatter, sums.covariance),
        mean_log_likelihood=old * sums.mean_log_likelihood + jnp.sum(height),
        draws=jnp.where(is_any, _redrawn(sums.draws, shells.theta, old, new, key), sums.draws),
        evidences=jnp.logaddexp(sums.evidences, simulated),
    )


def _shells(log_volume: Float[Array, ""], log_shrinkage: Float[Array, " k"]) -> tuple[Array, Array]:
    """ln (X_{i−1} − X_i) of successive deaths, and ln X after them."""
    after = log_volume + jnp.cumsum(log_shrinkage)
    before = jnp.concatenate([log_volume[None], after[:-1]])
    return before + log1mexp(log_shrinkage), after[-1]


def _redrawn(
    draws: Float[Array, "n d"],
    theta: Float[Array, "k d"],
    old: Float[Array, ""],
    new: Float[Array, " k"],
    key: PRNGKeyArray,
) -> Float[Array, "n d"]:
    """Each draw stays with probability `old`, or becomes row i of `theta` with probability ``new[i]``."""
    lot = jax.random.uniform(key, draws.shape[:1], theta.dtype)
    ends = old + jnp.cumsum(new)
    chosen = jnp.minimum(jnp.searchsorted(ends, lot, side="right"), theta.shape[0] - 1)
    return jnp.where((lot < old)[:, None], draws, theta[chosen])
