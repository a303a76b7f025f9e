"""How far an image is from what was measured: residuals whose squares sum to twice the negative log-likelihood."""

from __future__ import annotations

import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.special import gammaln

_NEAR = 0.02  # |m/d − 1| below which the deviance is a series: its logarithm would lose half of the digits
_TERMS = 9


def gaussian(model: Float[Array, " n"], data: Float[Array, " n"], weight: Float[Array, " n"]) -> Float[Array, " n"]:
    """(m − d) w with w = 1/σ, and exactly 0 where the weight is 0, whatever the data are there."""
    used = weight > 0
    return jnp.where(used, (model - jnp.where(used, data, 0.0)) * weight, 0.0)


def poisson(model: Float[Array, " n"], data: Float[Array, " n"], weight: Float[Array, " n"]) -> Float[Array, " n"]:
    """Deviance residuals sign(m − d) √(2 [m − d + d ln(d/m)]); exactly 0 where the weight is 0.

    ½ Σ r² = Σ [m − d ln m] less its value at m = d: the Poisson likelihood itself, not an approximation to it. Near the
    maximum JᵀJ is the expected information Σ ∂m ∂mᵀ / m. NaN where m ≤ 0 and d > 0, or m < 0.

    Source: McCullagh and Nelder 1989, Generalized Linear Models, sec. 2.4.3.
    Checked: tests/unit/optics/model/test_optics_likelihood.py against scipy.stats.poisson.
    """
    used = weight > 0
    m, d = jnp.where(used, model, 1.0), jnp.where(used, data, 1.0)
    some = d > 0
    safe = jnp.where(some, d, 1.0)
    t = jnp.where(some, m / safe - 1.0, 0.0)
    near = jnp.abs(t) < _NEAR
    small, large = jnp.where(near, t, 0.0), jnp.where(near, 1.0, t)
    # (t − ln(1 + t)) / t² = 1/2 − t/3 + t²/4 − …
    series = sum((-1.0) ** k * small**k / (k + 2) for k in range(_TERMS))
    shape = jnp.where(near, series, (large - jnp.log1p(large)) / large**2)
    root = jnp.sqrt(jnp.where(some, 1.0, 2.0 * m))  # without electrons the deviance is 2m
    return jnp.where(used, jnp.where(some, t * jnp.sqrt(2.0 * safe * shape), root), 0.0)


def log_norm(kind: str, data: Float[np.ndarray, " n"], weight: Float[np.ndarray, " n"]) -> float:
    """What ½ r·r lacks of −ln L as a density of the data: ln L = −½ r·r + this."""
    used = weight > 0
    if kind == "gaussian":
        return float(np.sum(np.log(weight[used])) - 0.5 * np.count_nonzero(used) * math.log(2.0 * math.pi))
    d = data[used]
    return float(np.sum(d * np.log(np.where(d > 0, d, 1.0)) - d - gammaln(d + 1.0)))
