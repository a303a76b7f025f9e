"""The normal distribution that `cmaes` moves: where it is, how wide, and how a generation changes it."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


class Cloud(NamedTuple):
    """N(mean, σ² C) in the unit cube, after some generations of a descent.

    Attributes:
        path_sigma, path_c: evolution paths of step size and covariance.
        generation: of this descent.
    """

    mean: Float[Array, " d"]
    sigma: Float[Array, ""]
    covariance: Float[Array, "d d"]
    path_sigma: Float[Array, " d"]
    path_c: Float[Array, " d"]
    generation: Int[Array, ""]

    @classmethod
    def at(cls, mean: Float[Array, " d"], sigma: Float[Array, ""]) -> Cloud:
        """The first generation of a descent."""
        zero = jnp.zeros_like(mean)
        eye = jnp.eye(mean.shape[0], dtype=mean.dtype)
        return cls(mean, sigma.astype(mean.dtype), eye, zero, zero, jnp.zeros((), jnp.int32))

    @property
    def widths(self) -> Float[Array, " d"]:
        """Standard deviation of each coordinate, as part of the box."""
        return self.sigma * jnp.sqrt(jnp.diagonal(self.covariance))


class Axes(NamedTuple):
    """C = B diag(lengths²) Bᵀ."""

    directions: Float[Array, "d d"]
    lengths: Float[Array, " d"]

    @classmethod
    def of(cls, cloud: Cloud) -> Axes:
        values, vectors = jnp.linalg.eigh(cloud.covariance)
        return cls(vectors, jnp.sqrt(jnp.maximum(values, jnp.finfo(values.dtype).tiny)))

    def whitened(self, y: Float[Array, "n d"]) -> Float[Array, "n d"]:
        """C^(−½) y, row by row."""
        return ((y @ self.directions) / self.lengths[None, :]) @ self.directions.T


class Rates(NamedTuple):
    """Weights by rank and learning rates, for λ points in d dimensions."""

    weights: Float[Array, " L"]
    mu_eff: Float[Array, ""]
    c_sigma: Float[Array, ""]
    d_sigma: Float[Array, ""]
    c_c: Float[Array, ""]
    c_1: Float[Array, ""]
    c_mu: Float[Array, ""]

    @classmethod
    def of(cls, popsize: Int[Array, ""], capacity: int, d: int, dtype) -> Rates:
        """Table 1 of the tutorial, with negative weights, for λ = `popsize` of `capacity` places."""
        rank = jnp.arange(1, capacity + 1, dtype=dtype)
        size = popsize.astype(dtype)
        raw = jnp.where(rank <= size, jnp.log((size + 1.0) / 2.0) - jnp.log(rank), 0.0)
        up, down = jnp.maximum(raw, 0.0), jnp.maximum(-raw, 0.0)
        mu_eff = jnp.sum(up) ** 2 / jnp.sum(up**2)
        mu_down = jnp.sum(down) ** 2 / jnp.sum(down**2)
        c_1 = 2.0 / ((d + 1.3) ** 2 + mu_eff)
        c_mu = jnp.minimum(1.0 - c_1, 2.0 * (0.25 + mu_eff + 1.0 / mu_eff - 2.0) / ((d + 2.0) ** 2 + mu_eff))
        least = jnp.minimum(1.0 + c_1 / c_mu, 1.0 + 2.0 * mu_down / (mu_eff + 2.0))
        least = jnp.minimum(least, (1.0 - c_1 - c_mu) / (d * c_mu))
        c_sigma = (mu_eff + 2.0) / (d + mu_eff + 5.0)
        return cls(
            weights=up / jnp.sum(up) - least * down / jnp.sum(down),
            mu_eff=mu_eff,
            c_sigma=c_sigma,
            d_sigma=1.0 + 2.0 * jnp.maximum(0.0, jnp.sqrt((mu_eff - 1.0) / (d + 1.0)) - 1.0) + c_sigma,
            c_c=(4.0 + mu_eff / d) / (d + 4.0 + 2.0 * mu_eff / d),
            c_1=c_1,
            c_mu=c_mu,
        )


def told(cloud: Cloud, axes: Axes, popsize: Int[Array, ""], y: Float[Array, "L d"], cost: Float[Array, " L"]) -> Cloud:
    """The next generation's cloud, from the points mean + σ y of this one and what they cost.

    Rank-one and rank-µ update with negative weights, cumulative step-size adaptation. σ is held where the cloud would
    be wider than the box: the function repeats there.

    Args:
        popsize: λ; places beyond it cost +inf and count nothing.

    Source: Hansen 2016, arXiv:1604.00772, fig. 6 (algorithm) and table 1 (parameters).
    Checked: tests/oracle/test_cmaes.py, against pycma; tests/unit/engines/test_cmaes_cloud.py, the tutorial's sums.
    """
    d = cloud.mean.shape[0]
    r = Rates.of(popsize, y.shape[0], d, y.dtype)
    by_point = jnp.zeros_like(cost).at[jnp.argsort(cost)].set(r.weights)
    shift = jnp.maximum(by_point, 0.0) @ y
    white = axes.whitened(shift[None, :])[0]
    path_sigma = (1.0 - r.c_sigma) * cloud.path_sigma + jnp.sqrt(r.c_sigma * (2.0 - r.c_sigma) * r.mu_eff) * white
    length = jnp.sqrt(jnp.sum(path_sigma**2))
    usual = d**0.5 * (1.0 - 1.0 / (4.0 * d) + 1.0 / (21.0 * d**2))  # of a normal vector
    begun = jnp.sqrt(1.0 - (1.0 - r.c_sigma) ** (2.0 * (cloud.generation + 1.0)))
    is_steady = (length / begun < (1.4 + 2.0 / (d + 1.0)) * usual).astype(y.dtype)
    path_c = (1.0 - r.c_c) * cloud.path_c + is_steady * jnp.sqrt(r.c_c * (2.0 - r.c_c) * r.mu_eff) * shift
    norms = jnp.sum(axes.whitened(y) ** 2, axis=1)
    rank_mu = by_point * jnp.where(by_point < 0, d / jnp.where(norms > 0, norms, 1.0), 1.0)
    kept = 1.0 + r.c_1 * (1.0 - is_steady) * r.c_c * (2.0 - r.c_c) - r.c_1 - r.c_mu * jnp.sum(r.weights)
    covariance = kept * cloud.covariance + r.c_1 * path_c[:, None] * path_c[None, :]
    covariance = covariance + r.c_mu * (y * rank_mu[:, None]).T @ y
    covariance = 0.5 * (covariance + covariance.T)
    sigma = cloud.sigma * jnp.exp(jnp.minimum(1.0, (r.c_sigma / r.d_sigma) * (length / usual - 1.0)))
    widest = jnp.sqrt(jnp.max(jnp.diagonal(covariance)))
    return Cloud(
        mean=cloud.mean + cloud.sigma * shift,
        sigma=jnp.minimum(sigma, 1.0 / widest),
        covariance=covariance,
        path_sigma=path_sigma,
        path_c=path_c,
        generation=cloud.generation + 1,
    )


def mirrored(x: Float[Array, "*n d"]) -> Float[Array, "*n d"]:
    """Any place as one in the unit cube, by reflection at its walls: the function goes on there as in a mirror."""
    return jnp.where((x >= 0.0) & (x <= 1.0), x, 1.0 - jnp.abs(1.0 - jnp.mod(x, 2.0)))


def is_spent(cloud: Cloud, axes: Axes, tolx: Float[Array, ""]) -> Bool[Array, ""]:
    """Whether the cloud is too small to move: tolx, and the tutorial's NoEffectCoord and ConditionCov."""
    small = jnp.all(cloud.widths <= tolx) & jnp.all(cloud.sigma * jnp.abs(cloud.path_c) <= tolx)
    idle = jnp.any(cloud.mean == cloud.mean + 0.2 * cloud.widths)
    flat = axes.lengths[-1] > 1e7 * axes.lengths[0]  # condition of C 1e14
    return small | idle | flat | ~jnp.isfinite(cloud.sigma)
