"""Where the walkers of an ensemble start: a ball around the start or draws from the prior, inside the support."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from campaign.errors import InvalidValue
from campaign.problem.target import Target
from campaign.space import Parameter, ThetaSpace
from campaign.space.priors import bounded

_TABLE = 1024  # quantiles of a prior that starts are drawn between: 0.05 % to 99.95 %
_HALVINGS = 40  # 2⁻⁴⁰ of the way out: closer than anything but a start that is itself outside


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
    priors = [p.prior.support if p.prior is not None else (-np.inf, np.inf) for p in space.parameters]
    low, high = np.array(priors, np.float64).reshape(-1, 2).T
    return np.maximum(space.lower, low), np.minimum(space.upper, high)


def _quantiles(parameter: Parameter) -> np.ndarray:
    """`_TABLE` evenly spaced quantiles of a parameter's prior, cut at its bounds."""
    levels = (np.arange(_TABLE) + 0.5) / _TABLE
    low, high = parameter.lower, parameter.upper
    if parameter.prior is None:
        if not (np.isfinite(low) and np.isfinite(high)):
            raise InvalidValue(
                f"parameter `{parameter.name}` has no prior and lacks a bound: nothing to draw walkers from",
                hint='give it a prior or bounds, or use `"init": "ball"`',
            )
        return low + (high - low) * levels
    try:
        return np.asarray(bounded(parameter.prior, low, high).ppf(levels))
    except InvalidValue as error:
        raise InvalidValue(f"parameter `{parameter.name}`: {error.message}", hint=error.hint) from None
