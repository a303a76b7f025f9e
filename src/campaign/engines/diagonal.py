"""The diagonal of the curvature of a cost in u: from residuals, from the Hessian, from probes, from gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from campaign.engines.curvature import curvature
from campaign.engines.linear import diagonal
from campaign.engines.normal import Robust, all_rows, normal_equations
from campaign.engines.objective import POSTERIOR, cost
from campaign.errors import InvalidValue
from campaign.problem.target import Target

EXACT = 256  # coordinates up to which Hutchinson's probes are unit vectors
_TOGETHER = 8  # Hessian-vector products at once
_POWER_STEPS = 20


class Diagonal(NamedTuple):
    """A diagonal curvature in u.

    Attributes:
        value: with its sign.
        error: standard error of each entry; 0 where it is exact.
    """

    value: Float[Array, " d"]
    error: Float[Array, " d"]


def source_of(target: Target, source: str, n_probes: int) -> tuple[str, bool]:
    """The source that "auto" means, and whether it is exact. Static.

    Raises:
        InvalidValue: it needs residuals, and the problem has none; or a sum over the data, and ln L is a mean.
    """
    if target.is_mean:
        raise InvalidValue(
            f"ln L of `{target.name}` is a mean over the data: its curvature undercounts what the data say",
            hint="give the sum; a rate that does not depend on the amount of data is `base_lr` times 1/n",
        )
    if source == "auto":
        source = "gn_diag" if target.has_residuals else "hutchinson_hessian_diag"
    if source in ("gn_diag", "empirical_fisher") and not target.has_residuals:
        raise InvalidValue(
            f"the curvature `{source}` needs residuals, and `{target.name}` has none",
            hint='give the problem a `residuals` method, or take "hessian_diag"',
        )
    is_estimate = source == "hutchinson_hessian_diag" and target.n_coordinates > max(n_probes, EXACT)
    return source, not is_estimate


def diagonal_of(
    target: Target,
    u: Float[Array, " d"],
    source: str,
    objective: str,
    *,
    scale: Float[Array, " d"],
    n_probes: int = 64,
    seed: int = 0,
) -> Diagonal:
    """c_j of −(ln L + ln prior) at u, or of −ln L.

    gn_diag: Σ_i J_ij², the diagonal of the expected Fisher matrix. hessian_diag: e_j·H e_j. Hutchinson: the mean of
    v ⊙ S H S v over Rademacher probes v, divided by s²; where there are at most max(n_probes, 256) coordinates, exact.
    empirical_fisher: Σ_i (r_i J_ij)², squared gradients of the terms of a summed −ln L. ema_grad2: g_j².

    Args:
        scale: s, the units in which probes are ±1.

    Outside the domain: not finite where the model is not.
    Source: Hutchinson 1990, Commun. Stat. Simul. 19, 433; Bekas, Kokiopoulou & Saad 2007, Appl. Numer. Math. 57, 1214.
    Checked: tests/oracle/test_descent.py, C-03, C-04, C-13.
    """
    source, is_exact = source_of(target, source, n_probes)
    if source == "ema_grad2":
        slope = jax.grad(lambda v: cost(target, v, objective))(u)
        return _exact(slope * slope)
    if source == "gn_diag":
        return _exact(_gauss_newton(target, u) + _of_prior(target, u, objective))
    if source == "empirical_fisher":
        rows = all_rows(target, u, _linear(u))
        return _exact(jnp.sum((rows.jacobian * rows.residuals[None, :]) ** 2, axis=1))
    product = hessian_product(target, u, objective)
    if source == "hessian_diag" or is_exact:
        basis = jnp.eye(u.shape[0], dtype=u.dtype)
        return _exact(jax.lax.map(lambda e: jnp.dot(e, product(e)), basis, batch_size=_TOGETHER))
    probes = jax.random.rademacher(jax.random.key(seed, impl="threefry2x32"), (n_probes, u.shape[0]), u.dtype)
    seen = jax.lax.map(lambda v: v * scale * product(scale * v), probes, batch_size=_TOGETHER)
    square = scale * scale
    spread = jnp.std(seen, axis=0, ddof=min(1, n_probes - 1)) / n_probes**0.5
    return Diagonal(jnp.mean(seen, axis=0) / square, spread / square)


def hessian_product(target: Target, u: Float[Array, " d"], objective: str) -> Callable[[Array], Array]:
    """v → H v of the cost, by forward over reverse mode."""
    slope = jax.grad(lambda w: cost(target, w, objective))
    return lambda v: jax.jvp(slope, (u,), (v,))[1]


def largest(
    target: Target, u: Float[Array, " d"], objective: str, precond: Float[Array, " d"], steps: int = _POWER_STEPS
) -> Float[Array, ""]:
    """λ̂, the largest |eigenvalue| of P^½ H P^½ by power iteration; of JᵀJ and the prior where there are residuals.

    It is at most the true one, and mostly within a few per cent of it.
    """
    product = _product(target, u, objective)
    root = jnp.sqrt(precond)

    def turn(_: int, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        v, _before = carry
        image = root * product(root * v)
        size = jnp.sqrt(jnp.sum(image * image))
        return image / jnp.where(size > 0, size, 1.0), size

    start = jax.random.normal(jax.random.key(0, impl="threefry2x32"), u.shape, u.dtype)
    first = (start / jnp.sqrt(jnp.sum(start * start)), jnp.zeros((), u.dtype))
    return jax.lax.fori_loop(0, steps, turn, first)[1]


def _product(target: Target, u: Float[Array, " d"], objective: str) -> Callable[[Array], Array]:
    if not target.has_residuals:
        return hessian_product(target, u, objective)
    matrix = curvature(target, u, objective == POSTERIOR)
    return lambda v: matrix @ v


def _gauss_newton(target: Target, u: Float[Array, " d"]) -> Float[Array, " d"]:
    if target.is_chunked:
        return diagonal(normal_equations(target, u, _linear(u)).hessian)
    rows = all_rows(target, u, _linear(u)).jacobian
    return jnp.sum(rows * rows, axis=1)


def _of_prior(target: Target, u: Float[Array, " d"], objective: str) -> Float[Array, " d"]:
    if objective != POSTERIOR:
        return jnp.zeros_like(u)
    return diagonal(jax.hessian(lambda v: -target.log_prior(v))(u))


def _linear(u: Array) -> Robust:
    return Robust("linear", jnp.ones((), u.dtype))


def _exact(value: Array) -> Diagonal:
    return Diagonal(value, jnp.zeros_like(value))
