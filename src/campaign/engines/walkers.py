"""Where walkers start, inside the support: a ball around the start, draws from the prior, a Laplace approximation."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from campaign.engines.curvature import laplace_covariance
from campaign.errors import InvalidValue
from campaign.problem.target import Target
from campaign.space import Parameter, ThetaSpace
from campaign.space.priors import bounded

_TABLE = 1024  # quantiles of a prior that starts are drawn between: 0.05 % to 99.95 %
_HALVINGS = 40  # 2⁻⁴⁰ of the way out: closer than anything but a start that is itself outside


def starts(
    target: Target,
    where: str,
    n: int,
    spread: Float[Array, ""],
    positions: Float[Array, "n d"] | None,
    key: PRNGKeyArray,
    log_density: Callable[[Array], Array],
) -> tuple[Float[Array, "n d"], Float[Array, " n"]]:
    """u of n walkers and their log densities: "ball", "prior", "laplace", or "explicit" `positions` in theta."""
    if target.is_mean:
        raise InvalidValue(
            f"ln L of `{target.name}` is a mean over the data: its posterior is too wide", hint="give the sum"
        )
    if where == "explicit" and positions is not None:
        if positions.shape != (n, target.scale.shape[0]):
            raise InvalidValue(
                f"`engine.positions` holds {positions.shape[0]} rows of {positions.shape[1]} numbers; "
                f"{n} walkers of {target.scale.shape[0]} free parameters need one row each",
                hint=f"the free parameters are {', '.join(target.space.names)}, in this order",
            )
        u = jax.vmap(target.u)(positions.astype(target.base.dtype))
        return u, jax.vmap(log_density)(u)
    draws = {"prior": prior_draws, "laplace": laplace_draws}
    u = draws[where](target, n, key) if where in draws else ball(target, spread, n, key)
    return pull_inside(u, inner_start(target), log_density)


def ball(target: Target, spread: Float[Array, ""], n: int, key: PRNGKeyArray) -> Float[Array, "n d"]:
    """u of n walkers normally distributed around the start, `spread` · ``target.scale`` wide in theta.

    A value that falls out of the support of a parameter (its bounds and its prior's) is mirrored at the start, so that
    a start on a bound is a good start.
    """
    start = target.theta(target.start())
    low, high = _support(target.space)

    def one(normal: Float[Array, " d"]) -> Float[Array, " d"]:
        step = spread * target.scale * normal
        theta = start + step
        return target.u(jnp.where((theta > low) & (theta < high), theta, start - step))

    return jax.vmap(one)(jax.random.normal(key, (n, start.shape[0]), start.dtype))


def laplace_draws(target: Target, n: int, key: PRNGKeyArray) -> Float[Array, "n d"]:
    """u of n walkers drawn from the Gaussian in u with the curvature of the posterior at the start.

    A draw in which a parameter leaves its support is mirrored at the start.
    """
    start = inner_start(target)
    root = jnp.linalg.cholesky(laplace_covariance(target, start))
    low, high = _support(target.space)

    def one(normal: Float[Array, " d"]) -> Float[Array, " d"]:
        step = root @ normal
        theta = target.theta(start + step)
        is_inside = (theta > low) & (theta < high)
        return jnp.where(is_inside if target.map.is_elementwise else jnp.all(is_inside), start + step, start - step)

    return jax.vmap(one)(jax.random.normal(key, (n, start.shape[0]), start.dtype))


def inner_start(target: Target) -> Float[Array, " d"]:
    """u at the start; where that is a bound of a transform, the last u before it."""
    return jnp.clip(target.start(), *target.bounds())


def prior_draws(target: Target, n: int, key: PRNGKeyArray) -> Float[Array, "n d"]:
    """u of n walkers drawn from the prior inside the bounds; uniform between finite bounds where there is no prior.

    Drawn by interpolation between 1,024 quantiles of each prior, so tails beyond 0.05 % stay empty: good for a start,
    not for inference.

    Raises:
        InvalidValue: a free parameter has neither a prior nor two finite bounds.
    """
    table = jnp.asarray(np.stack([_quantiles(p) for p in target.space.parameters]), target.base.dtype)
    levels = (jnp.arange(_TABLE, dtype=table.dtype) + 0.5) / _TABLE
    uniform = jax.random.uniform(key, (n, table.shape[0]), table.dtype)
    theta = jax.vmap(jnp.interp, in_axes=(1, None, 0), out_axes=1)(uniform, levels, table)
    return jax.vmap(target.u)(theta)


def pull_inside(
    u: Float[Array, "n d"], start: Float[Array, " d"], log_density: Callable[[Array], Array]
) -> tuple[Float[Array, "n d"], Float[Array, " n"]]:
    """Move walkers whose log density is not finite halfway to the start, again and again, until it is.

    Args:
        log_density: of one position.

    Returns:
        positions, and their log densities; −inf is left only where the start itself has no finite one.
    """

    def outside(carry: tuple[Array, Array, Array]) -> Array:
        _, value, count = carry
        return jnp.any(~jnp.isfinite(value)) & (count < _HALVINGS)

    def halve(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        position, value, count = carry
        nearer = jax.vmap(lambda x, v: jnp.where(jnp.isfinite(v), x, 0.5 * (x + start)))(position, value)
        return nearer, jax.vmap(log_density)(nearer), count + 1

    u, value, _ = jax.lax.while_loop(outside, halve, (u, jax.vmap(log_density)(u), jnp.zeros((), jnp.int32)))
    return u, value


def _support(space: ThetaSpace) -> tuple[np.ndarray, np.ndarray]:
    """Bounds of theta, narrowed to where the priors have a density."""
    low, high = np.array([p.support for p in space.parameters], np.float64).reshape(-1, 2).T
    return low, high


def _quantiles(parameter: Parameter) -> np.ndarray:
    """`_TABLE` evenly spaced quantiles of a parameter's prior, cut at its bounds."""
    levels = (np.arange(_TABLE) + 0.5) / _TABLE
    low, high = parameter.lower, parameter.upper
    if parameter.prior is None:
        if not (np.isfinite(low) and np.isfinite(high)):
            raise InvalidValue(
                f"parameter `{parameter.name}` has no prior and a missing bound: there is nothing to draw walkers from",
                hint='give it a prior or bounds, or use `"init": "ball"`',
            )
        return low + (high - low) * levels
    try:
        return np.asarray(bounded(parameter.prior, low, high).ppf(levels))
    except InvalidValue as error:
        raise InvalidValue(f"parameter `{parameter.name}`: {error.message}", hint=error.hint) from None
