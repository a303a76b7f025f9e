"""How sharply the posterior is peaked at a point: what Laplace errors, draws and mass matrices start from."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from campaign.engines.derivative import scale_of_u
from campaign.engines.normal import Robust, normal_equations
from campaign.problem.target import Target

WIDEST = 10.0  # in typical changes of a parameter: how wide a direction is taken that nothing constrains
_FLAT = 1e-12  # of the largest curvature: below it there is none but rounding


def curvature(target: Target, u: Float[Array, " d"], has_prior: bool = True) -> Float[Array, "d d"]:
    """−∂² of the log posterior in theta (or likelihood), by u.

    Of the likelihood the Fisher matrix JᵀJ where there are residuals, else the Hessian; of the prior the Hessian.
    Outside the domain: not finite.
    """

    def prior(v: Array) -> Array:
        return -target.log_prior(v)

    if target.has_residuals:
        likelihood = normal_equations(target, u, Robust("linear", jnp.ones((), u.dtype))).hessian
    else:
        likelihood = jax.hessian(lambda v: -target.log_likelihood(v))(u)
    matrix = likelihood + jax.hessian(prior)(u) if has_prior else likelihood
    return 0.5 * (matrix + matrix.T)


def laplace_covariance(target: Target, u: Float[Array, " d"]) -> Float[Array, "d d"]:
    """Covariance in u of the Gaussian with the curvature of the posterior at u, as a density in u.

    Directions with no curvature, or a negative one, are taken 10 typical changes wide: a proposal, not an error.

    Checked: tests/oracle/test_hamiltonian.py, the exact covariance of a Gaussian with a normal prior.
    """
    scale = scale_of_u(target)
    volume = jax.hessian(lambda v: -target.log_jacobian(v))(u)
    matrix = (curvature(target, u) + volume) * scale[:, None] * scale[None, :]
    values, vectors = jnp.linalg.eigh(jnp.where(jnp.isfinite(matrix), matrix, 0.0))
    is_curved = values > jnp.maximum(_FLAT * jnp.max(values), jnp.finfo(values.dtype).tiny)
    widths = jnp.where(is_curved, 1.0 / jnp.sqrt(jnp.where(is_curved, values, 1.0)), WIDEST)
    spread = vectors * widths[None, :] * scale[:, None]
    return spread @ spread.T
