"""Independent fits as one: Gaussian likelihoods of an earlier stage's runs, multiplied."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from campaign.errors import InvalidValue
from campaign.problem.base import Problem
from campaign.problem.reference.catalogue import CombineOptions, combine_space
from campaign.space import ThetaSpace


class Combine(Problem):
    """ln L = −½ Σ_i (theta − m_i)ᵀ C_i⁻¹ (theta − m_i), with m_i and C_i of m members, each a fit of its own data.

    Its maximum and covariance are C = (Σ C_i⁻¹)⁻¹ and mean = C Σ C_i⁻¹ m_i, exact for any engine that fits; with
    `evaluate` they are what `predict` gives. ``derived.spread`` is Q = Σ (m_i − mean)ᵀ C_i⁻¹ (m_i − mean), which has
    (m − 1)·d degrees of freedom where the members agree.

    Attributes:
        whiteners: W_i with W_iᵀ W_i = C_i⁻¹, one upon the other.
        whitened: W_i m_i, in the same order.
        mean: in the units of the parameters.
        covariance: of the mean, in their products.

    Checked: tests/integration/test_gathering.py against the closed form.
    """

    space: ThetaSpace = eqx.field(static=True)
    whiteners: Float[Array, "N d"]
    whitened: Float[Array, " N"]
    mean: Float[Array, " d"]
    covariance: Float[Array, "d d"]

    def residuals(self, theta: Float[Array, " d"]) -> Float[Array, " N"]:
        return self.whiteners @ theta - self.whitened

    def predict(self, theta: Float[Array, " d"]) -> dict[str, Array]:
        return {"mean": self.mean, "covariance": self.covariance}

    def derived(self, theta: Float[Array, " d"]) -> dict[str, Array]:
        error = jnp.sqrt(jnp.diagonal(self.covariance))
        means = {f"mean_{name}": self.mean[i] for i, name in enumerate(self.space.names)}
        errors = {f"stderr_{name}": error[i] for i, name in enumerate(self.space.names)}
        return means | errors | {"spread": jnp.sum(self.residuals(self.mean) ** 2)}


def build(options: CombineOptions, gathered: Mapping[str, np.ndarray]) -> Combine:
    """Combine members.

    Args:
        options: which parameters; others of a member are marginalised, as its covariance is that of a Gaussian.
        gathered: ``theta.<p>`` (m,), ``parameter`` (m, d_all), ``covariance`` (m, d_all, d_all).

    Raises:
        InvalidValue: a member that does not have a parameter, or whose covariance is not positive definite.
    """
    names = gathered["parameter"]
    first = names[0].tolist()
    for name in options.parameters:
        if name not in first or f"theta.{name}" not in gathered:
            raise InvalidValue(f"the members have no `{name}`", hint=f"they have {', '.join(first)}")
    if (names != names[0]).any():
        raise InvalidValue("the members have different parameters", hint="make groups of one kind: `start.by`")
    at = np.array([first.index(name) for name in options.parameters])
    means = np.stack([gathered[f"theta.{name}"] for name in options.parameters], axis=1)
    covariances = np.asarray(gathered["covariance"], dtype=np.float64)[:, at[:, None], at]
    found = combined(means, covariances)
    return Combine(
        space=combine_space(options),
        whiteners=jnp.asarray(found.whiteners),
        whitened=jnp.asarray(found.whitened),
        mean=jnp.asarray(found.mean),
        covariance=jnp.asarray(found.covariance),
    )


class Combined(NamedTuple):
    """Gaussians multiplied: see `Combine`."""

    whiteners: Float[np.ndarray, "N d"]
    whitened: Float[np.ndarray, " N"]
    mean: Float[np.ndarray, " d"]
    covariance: Float[np.ndarray, "d d"]


def combined(means: Float[np.ndarray, "m d"], covariances: Float[np.ndarray, "m d d"]) -> Combined:
    """C = (Σ C_i⁻¹)⁻¹ and C Σ C_i⁻¹ m_i.

    Raises:
        InvalidValue: a covariance is not positive definite.
    """
    try:
        lower = np.linalg.cholesky(covariances)
    except np.linalg.LinAlgError:
        lower = np.full_like(covariances, np.nan)
    if not np.isfinite(lower).all():
        raise InvalidValue("the covariance of a member is not positive definite: its data do not determine it")
    whiteners = np.linalg.inv(lower)
    stacked = whiteners.reshape(-1, means.shape[1])
    whitened = np.einsum("mij,mj->mi", whiteners, means).reshape(-1)
    q, r = np.linalg.qr(stacked)  # RᵀR = Σ C_i⁻¹, without squaring
    inverse = np.linalg.inv(r)
    return Combined(stacked, whitened, inverse @ (q.T @ whitened), inverse @ inverse.T)
