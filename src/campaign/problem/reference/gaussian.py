"""A correlated Gaussian in d dimensions: mean, covariance and evidence are known."""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from campaign.problem.base import Problem
from campaign.problem.reference.catalogue import GaussianOptions, gaussian_moments, gaussian_space
from campaign.space import ThetaSpace


class Gaussian(Problem):
    """ln L = −½ (theta − mean)ᵀ C⁻¹ (theta − mean), as residuals r = W (theta − mean) with WᵀW = C⁻¹.

    Attributes:
        mean: true mean, which is the best fit and the posterior mean.
        whitener: W, lower triangular; the covariance of theta is C = (WᵀW)⁻¹ exactly.
    """

    space: ThetaSpace = eqx.field(static=True)
    mean: Float[Array, " d"]
    whitener: Float[Array, "d d"]

    def residuals(self, theta: Float[Array, " d"]) -> Float[Array, " d"]:
        return self.whitener @ (theta - self.mean)

    def predict(self, theta: Float[Array, " d"]) -> dict[str, Array]:
        return {"offset": theta - self.mean}

    def derived(self, theta: Float[Array, " d"]) -> dict[str, Array]:
        return {"chi": jnp.sqrt(jnp.sum(self.residuals(theta) ** 2))}


def build(options: GaussianOptions) -> Gaussian:
    mean, covariance = gaussian_moments(options)
    whitener = np.linalg.inv(np.linalg.cholesky(covariance))
    return Gaussian(gaussian_space(options), jnp.asarray(mean), jnp.asarray(whitener))
