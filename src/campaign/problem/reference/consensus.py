"""Chains of an earlier stage, each of a part of the data, as one posterior: consensus Monte Carlo."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from campaign.errors import InvalidValue
from campaign.problem.base import Problem
from campaign.problem.reference.combine import Combined, combined
from campaign.problem.reference.consensus_options import ConsensusOptions, consensus_space
from campaign.problem.reference.two_modes import has_two_modes
from campaign.space import ThetaSpace
from campaign.space.transform import Elementwise

_MOST = 4096  # draws of a member that are looked at for two modes


class Verdict(IntEnum):
    """Whether a member counts, else why it does not."""

    KEPT = 0
    NOT_FINITE = 1
    NOT_MIXED = 2
    FEW_DRAWS = 3
    DIVERGENT = 4
    TWO_MODES = 5
    SINGULAR = 6


_SAID = {
    Verdict.NOT_FINITE: "have draws that are not finite in these coordinates",
    Verdict.NOT_MIXED: "have not mixed (R-hat above `max_rhat`)",
    Verdict.FEW_DRAWS: "have fewer effective draws than `min_ess`",
    Verdict.DIVERGENT: "have more divergent draws than `max_divergent`",
    Verdict.TWO_MODES: "have two modes, of which a mean says nothing",
    Verdict.SINGULAR: "have draws without spread in some direction",
}


class Consensus(Problem):
    """The product of the members' posteriors, each taken as Gaussian in u: identity, log or logit of each parameter.

    C = (Σ C_k⁻¹)⁻¹, mean = C Σ C_k⁻¹ m_k over the members that are kept, with the full covariance of each. Exact where
    members are Gaussian in u and have the prior, a density in theta, to the power 1/K: the product has it once. In u a
    member's density has a factor |dθ/du|, of which the product may have one and not K; so m_k and C_k are moments of
    its draws with weights |dθ/du|^(1/K − 1).

    Least-squares engines find the mean in u (the median of theta) and C; samplers draw from the density in theta. With
    `evaluate` the same stands in ``derived.median_…``, ``derived.stderr_u_…``, and the arrays ``member_mean``,
    ``member_stderr`` and ``verdict`` (codes of `Verdict`). ``derived.spread`` is Σ (m_k − mean)ᵀ C_k⁻¹ (m_k − mean),
    which has (K − 1)·d degrees of freedom, ``spread_dof``, where the members agree.

    Source: Scott et al. 2016, Int. J. Manag. Sci. Eng. Manag. 11, 78, sec. 3.
    Checked: tests/integration/test_consensus.py against closed forms, and against one chain of all data.
    """

    space: ThetaSpace = eqx.field(static=True)
    whiteners: Float[Array, "N d"]
    whitened: Float[Array, " N"]
    mean: Float[Array, " d"]
    covariance: Float[Array, "d d"]
    member_mean: Float[Array, "m d"]
    member_stderr: Float[Array, "m d"]
    verdict: Float[Array, " m"]

    def residuals(self, theta: Float[Array, " d"]) -> Float[Array, " N"]:
        return self.whiteners @ Elementwise(self.space).to_u(theta) - self.whitened

    def log_likelihood(self, theta: Float[Array, " d"]) -> Float[Array, ""]:
        """Of a density in theta: that in u times |du/dθ|."""
        own = Elementwise(self.space)
        r = self.residuals(theta)
        return -0.5 * jnp.dot(r, r) - own.log_jacobian(own.to_u(theta))

    def predict(self, theta: Float[Array, " d"]) -> dict[str, Array]:
        return {
            "mean_u": self.mean,
            "covariance_u": self.covariance,
            "member_mean": self.member_mean,
            "member_stderr": self.member_stderr,
            "verdict": self.verdict,
        }

    def derived(self, theta: Float[Array, " d"]) -> dict[str, Array]:
        names, error = self.space.names, jnp.sqrt(jnp.diagonal(self.covariance))
        median = Elementwise(self.space).to_theta(self.mean)
        kept = jnp.sum(self.verdict == Verdict.KEPT)
        r = self.whiteners @ self.mean - self.whitened
        return {
            **{f"median_{name}": median[i] for i, name in enumerate(names)},
            **{f"stderr_u_{name}": error[i] for i, name in enumerate(names)},
            "spread": jnp.dot(r, r),
            "spread_dof": (kept - 1) * float(len(names)),
            "n_members": jnp.asarray(float(len(self.verdict))),
            "n_kept": kept.astype(float),
            "n_two_modes": jnp.sum(self.verdict == Verdict.TWO_MODES).astype(float),
        }


def build(options: ConsensusOptions, gathered: Mapping[str, np.ndarray]) -> Consensus:
    """Combine members.

    Args:
        gathered: ``trace.theta`` (m, steps, …, d_all) of chains, ``parameter`` (m, d_all), ``metric.*`` (m,).

    Raises:
        InvalidValue: a member lacks a parameter, or fewer than `min_kept` of the members count; says why.
    """
    space = consensus_space(options)
    draws, log_jacobian = _in_u(space, _of(options, gathered))
    m, _, d = draws.shape
    covariances, means = np.full((m, d, d), np.nan), np.full((m, d), np.nan)
    verdict = np.array([_verdict(options, gathered, k, draws[k]) for k in range(m)])
    for k in np.flatnonzero(verdict != Verdict.NOT_FINITE):
        log_weight = (1.0 / (options.members or m) - 1.0) * log_jacobian[k]
        weight = np.exp(log_weight - log_weight.max())
        means[k] = np.average(draws[k], axis=0, weights=weight)
        covariances[k] = np.cov(draws[k], rowvar=False, aweights=weight).reshape(d, d)
    for k in np.flatnonzero(verdict == Verdict.KEPT):
        scale = np.sqrt(np.diag(covariances[k]))
        if not (scale > 0).all() or np.linalg.cond(covariances[k] / np.outer(scale, scale)) > 1.0 / np.finfo(float).eps:
            verdict[k] = Verdict.SINGULAR
    kept = verdict == Verdict.KEPT
    _require(options, verdict)
    found: Combined = combined(means[kept], covariances[kept])
    return Consensus(
        space=space,
        whiteners=jnp.asarray(found.whiteners),
        whitened=jnp.asarray(found.whitened),
        mean=jnp.asarray(found.mean),
        covariance=jnp.asarray(found.covariance),
        member_mean=jnp.asarray(means),
        member_stderr=jnp.asarray(np.sqrt(np.diagonal(covariances, axis1=1, axis2=2))),
        verdict=jnp.asarray(verdict.astype(np.float64)),
    )


def _of(options: ConsensusOptions, gathered: Mapping[str, np.ndarray]) -> Float[np.ndarray, "m n d"]:
    """The members' draws of the parameters, all walkers in one row."""
    names, theta = gathered["parameter"], np.asarray(gathered["trace.theta"], np.float64)
    first = names[0].tolist()
    for name in options.parameters:
        if name not in first:
            raise InvalidValue(f"the members have no `{name}`", hint=f"they have {', '.join(first)}")
    if (names != names[0]).any():
        raise InvalidValue("the members have different parameters", hint="make groups of one kind: `start.by`")
    chosen = theta[:, options.skip :][..., [first.index(name) for name in options.parameters]]
    if chosen.shape[1] == 0:
        raise InvalidValue(f"`skip` leaves none of {theta.shape[1]} recorded steps")
    return chosen.reshape(len(chosen), -1, chosen.shape[-1])


def _in_u(
    space: ThetaSpace, draws: Float[np.ndarray, "m n d"]
) -> tuple[Float[np.ndarray, "m n d"], Float[np.ndarray, "m n"]]:
    """u of each draw, and ln |dθ/du| there."""
    own = Elementwise(space)
    u = jax.vmap(jax.vmap(own.to_u))(jnp.asarray(draws))
    return np.asarray(u), np.asarray(jax.vmap(jax.vmap(own.log_jacobian))(u))


def _verdict(
    options: ConsensusOptions, gathered: Mapping[str, np.ndarray], k: int, draws: Float[np.ndarray, "n d"]
) -> Verdict:
    """Whether a member counts. What an engine does not report is not judged, except R-hat and the number of draws."""
    rhat, ess, divergences = (
        float(gathered[f"metric.{name}"][k]) if f"metric.{name}" in gathered else np.nan
        for name in ("rhat_max", "ess_bulk_min", "divergences")
    )
    if not np.isfinite(draws).all():
        return Verdict.NOT_FINITE
    if not rhat <= options.max_rhat:
        return Verdict.NOT_MIXED
    if not ess >= options.min_ess:
        return Verdict.FEW_DRAWS
    if divergences > options.max_divergent * len(draws):
        return Verdict.DIVERGENT
    thinned = draws[:: -(-len(draws) // _MOST)]
    return Verdict.TWO_MODES if has_two_modes(thinned, min(ess, len(thinned))) else Verdict.KEPT


def _require(options: ConsensusOptions, verdict: np.ndarray) -> None:
    n_kept, n = int(np.sum(verdict == Verdict.KEPT)), options.members or len(verdict)
    if n_kept >= max(options.min_kept * n, 1):
        return
    counts = {code: int(np.sum(verdict == code)) for code in _SAID}
    why = [f"{count} {_SAID[code]}" for code, count in counts.items() if count]
    why += [f"{n - len(verdict)} have not ended ok"] if n > len(verdict) else []
    raise InvalidValue(
        f"{n_kept} of {n} members count, fewer than {options.min_kept:g} of them: {'; '.join(why)}",
        hint="longer chains, or larger parts of the data; `min_kept` lets fewer do",
    )
