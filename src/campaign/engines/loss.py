"""Losses of least squares: the square, and those that forgive outliers."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

LOSSES = ("linear", "soft_l1", "huber", "cauchy")


class Weighted(NamedTuple):
    """A loss and its weights at given residuals.

    Attributes:
        value: ½ f² Σ ρ(z), z = (r/f)².
        gradient: ρ'(z): the gradient is Jᵀ(gradient · r).
        curvature: ρ'(z) + 2 z ρ''(z), kept positive: the Gauss–Newton matrix is Jᵀ diag(curvature) J. None means one.
        rows: the share of each residual in `value`.
    """

    value: Float[Array, ""]
    gradient: Float[Array, " N"] | None
    curvature: Float[Array, " N"] | None
    rows: Float[Array, " N"]


def weighted(kind: str, residuals: Float[Array, " N"], f_scale: Float[Array, ""]) -> Weighted:
    """A robust loss and its weights.

    ρ(z): z (linear) · 2(√(1+z)−1) (soft_l1) · z below 1, 2√z−1 above (huber) · ln(1+z) (cauchy).

    Args:
        kind: one of `LOSSES`.
        residuals: r, whitened.
        f_scale: the |r| from which a residual counts as an outlier; `linear` ignores it.

    Outside the domain: NaN where a residual is NaN.
    Source: Triggs et al. 2000, Bundle Adjustment, sec. 4.3 (second-order weights); the same ρ as scipy.optimize.
    Checked: tests/oracle/test_trf.py against scipy.optimize.least_squares.
    """
    if kind == "linear":
        squares = residuals * residuals
        return Weighted(0.5 * jnp.sum(squares), None, None, 0.5 * squares)
    z = (residuals / f_scale) ** 2
    if kind == "soft_l1":
        rho, first, second = 2 * (jnp.sqrt(1 + z) - 1), (1 + z) ** -0.5, -0.5 * (1 + z) ** -1.5
    elif kind == "huber":
        outer = jnp.where(z <= 1, 1.0, z)
        rho = jnp.where(z <= 1, z, 2 * jnp.sqrt(outer) - 1)
        first = outer**-0.5
        second = jnp.where(z <= 1, 0.0, -0.5 * outer**-1.5)
    else:
        rho, first, second = jnp.log1p(z), 1 / (1 + z), -1 / (1 + z) ** 2
    curvature = jnp.maximum(first + 2 * z * second, jnp.finfo(residuals.dtype).eps)
    return Weighted(0.5 * f_scale**2 * jnp.sum(rho), first, curvature, 0.5 * f_scale**2 * rho)
