"""Errors that do not trust σ: blocks of frames drawn again, and angles left out one at a time.

Points of c2 share frames, so their errors are not independent and errors of least squares are optimistic.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from campaign.science import Fit, InvalidValue, fit
from campaign_xpcs.judge.rates import theta_of
from campaign_xpcs.model.problem import pairs_of
from campaign_xpcs.model.two_time import TwoTimeProblem
from campaign_xpcs.physics.pairs import n_pairs


@dataclass(frozen=True, slots=True, kw_only=True)
class Resampled:
    """Estimates of many resampled data sets.

    Attributes:
        names: of the parameters; theta: (n, d), the fits that converged.
        stderr: (d,); covariance: (d, d).
        n_failed: fits that did not converge, left out.
    """

    names: tuple[str, ...]
    theta: Float[np.ndarray, "n d"]
    stderr: Float[np.ndarray, " d"]
    covariance: Float[np.ndarray, "d d"]
    n_failed: int


def frame_bootstrap(
    problem: TwoTimeProblem, found: Fit, *, n: int = 50, block: int = 10, seed: int = 0, engine: str = "varpro"
) -> Resampled:
    """Blocks of consecutive frames are drawn with replacement; a pair counts as often as both of its blocks were.

    Errors are on the safe side: where points are independent after all, a pair's weight m_I m_J has variance 3, and
    they come out about √3 too large.

    Args:
        found: of all data: where each fit starts.
        n: draws.
        block: frames; longer than what correlates them.

    Raises:
        InvalidValue: fewer than 4 blocks, or fewer than 2 fits that converged.

    Source: Künsch 1989, Ann. Statist. 17, 1217, for pairs as in Efron and Tibshirani 1993.
    Checked: tests/unit/xpcs/test_xpcs_resampling.py against the scatter of independent data.
    """
    n_times = problem.times.shape[0]
    n_blocks = -(-n_times // block)
    if n_blocks < 4:
        raise InvalidValue(f"{n_times} frames are {n_blocks} blocks of {block}", hint="at least 4 blocks")
    rng = np.random.default_rng(seed)
    i, j = _frames(problem)
    draws = []
    for _ in range(n):
        often = np.bincount(rng.integers(n_blocks, size=n_blocks), minlength=n_blocks)
        one, two = often[i // block], often[j // block]
        draws.append(np.sqrt(np.where(i // block == j // block, one, one * two)))
    fits = [_again(problem, found, lambda w, d=draw: w * d, engine) for draw in draws]
    theta = _converged(problem, fits)
    covariance = np.cov(theta, rowvar=False)
    return _resampled(problem, theta, covariance, n - len(theta))


def angle_jackknife(problem: TwoTimeProblem, found: Fit, *, engine: str = "varpro") -> Resampled:
    """Each angle left out once: C = (n − 1)/n Σ (θ_k − θ̄)(θ_k − θ̄)ᵀ, of the physics: without an angle its scaling
    is not known.

    Raises:
        InvalidValue: fewer than 4 angles, or a fit that did not converge.

    Source: Efron and Tibshirani 1993, An Introduction to the Bootstrap, ch. 11.
    Checked: tests/unit/xpcs/test_xpcs_resampling.py.
    """
    n_phi = problem.data.shape[0]
    if n_phi < 4:
        raise InvalidValue(f"{n_phi} angles are too few to leave one out", hint="at least 4")
    kept = 1.0 - np.eye(n_phi)
    fits = [_again(problem, found, lambda w, k=k: w * kept[k][:, None], engine) for k in range(n_phi)]
    theta = _converged(problem, fits)[:, problem.n_linear :]
    if len(theta) < n_phi:
        raise InvalidValue(f"{n_phi - len(theta)} of {n_phi} fits without an angle did not converge")
    off = theta - theta.mean(axis=0)
    covariance = (n_phi - 1) / n_phi * off.T @ off
    return _resampled(problem, theta, covariance, 0)


def _frames(problem: TwoTimeProblem) -> tuple[np.ndarray, np.ndarray]:
    if problem.first is not None and problem.second is not None:
        return np.asarray(problem.first), np.asarray(problem.second)
    n = problem.times.shape[0]
    return pairs_of(np.arange(n_pairs(n)), n)


def _again(problem: TwoTimeProblem, found: Fit, change: Callable[[np.ndarray], np.ndarray], engine: str) -> Fit:
    shape = problem.data.shape
    weight = np.broadcast_to(change(np.broadcast_to(np.asarray(problem.weight), shape)), shape)
    masked = float(np.count_nonzero(weight == 0.0))
    own = eqx.tree_at(lambda p: (p.weight, p.masked_rows), problem, (jnp.asarray(weight), jnp.asarray(masked)))
    return fit(own, engine, found.theta, free=sorted(found.stderr))


def _converged(problem: TwoTimeProblem, fits: list[Fit]) -> Float[np.ndarray, "n d"]:
    theta = [theta_of(problem, own) for own in fits if own.outcome == "converged"]
    if len(theta) < 2:
        raise InvalidValue(f"{len(theta)} of {len(fits)} fits converged", hint="look at one of them")
    return np.array(theta)


def _resampled(problem: TwoTimeProblem, theta: np.ndarray, covariance: np.ndarray, n_failed: int) -> Resampled:
    return Resampled(
        names=problem.space.names[-theta.shape[1] :],
        theta=theta,
        stderr=np.sqrt(np.diag(covariance)),
        covariance=covariance,
        n_failed=n_failed,
    )
