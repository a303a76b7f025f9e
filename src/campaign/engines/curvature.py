"""How sharply the posterior is peaked at a point: the matrix that Laplace draws and mass matrices start from."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from campaign.engines.derivative import scale_of_u
from campaign.engines.normal import Robust, normal_equations
from campaign.problem.target import Target

WIDEST = 10.0  # in typical changes of a parameter: how wide a direction is taken that nothing constrains


def laplace_covariance(target: Target, u: Float[Array, " d"]) -> Float[Array, "d d"]:
    """Covariance in u of the Gaussian with the curvature of the posterior at u.

    Of the likelihood the Fisher matrix JᵀJ where there are residuals, else its Hessian; of prior and Jacobian of the map
    the Hessian. Directions with no curvature, or a negative one, are taken 10 typical changes wide.

    Checked: tests/oracle/test_hamiltonian.py, the exact covariance of a Gaussian with a normal prior.
    """
    scale = scale_of_u(target)
    if target.has_residuals:
        likelihood = normal_equations(target, u, Robust("linear", jnp.ones((), u.dtype))).hessian
        rest = jax.hessian(lambda v: -(target.log_prior(v) + target.log_jacobian(v)))(u)
        matrix = likelihood + jnp.where(jnp.isfinite(rest), rest, 0.0)
    else:
        matrix = jax.hessian(lambda v: -target.log_posterior_u(v))(u)
    matrix = 0.5 * (matrix + matrix.T) * scale[:, None] * scale[None, :]
    values, vectors = jnp.linalg.eigh(jnp.where(jnp.isfinite(matrix), matrix, 0.0))
    spread = vectors * jnp.sqrt(1.0 / jnp.maximum(values, WIDEST**-2))[None, :] * scale[:, None]
    return spread @ spread.T
