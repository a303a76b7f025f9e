"""Derivatives of a model in u: exact where JAX can differentiate it, else by differences of batched evaluations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from campaign.problem.target import Target

Kind = Literal["reverse", "forward", "finite"]
Function = Callable[[Float[Array, " d"]], Array]


def scale_of_u(target: Target) -> Float[Array, " d"]:
    """A typical change of each coordinate at the start: ``scale`` over |d theta / d u|; 1 where u mixes parameters."""
    start = target.start()
    if target.map.is_identity:
        return target.scale
    if not target.map.is_elementwise:
        return jnp.ones_like(start)
    slope = jax.jvp(target.theta, (start,), (jnp.ones_like(start),))[1]
    return target.scale / jnp.abs(slope)


def kind_of(function: Callable[[Target, Float[Array, " d"]], Array], target: Target) -> Kind:
    """How a function of u can be differentiated: a scalar by reverse mode, an array by forward mode.

    A model that calls Python, or loops an unknown number of times, may have neither.

    Args:
        target: of one run; shapes and types are enough.
    """
    u = jax.ShapeDtypeStruct((len(target.space),), target.base.dtype)
    out = jax.eval_shape(function, target, u)  # what is wrong with the model itself is raised here
    kinds: tuple[Kind, ...] = ("reverse", "forward") if out.shape == () else ("forward",)
    for kind in kinds:
        try:
            jax.eval_shape(lambda t, x: _exact(lambda y: function(t, y), x, kind), target, u)  # noqa: B023
        except Exception:  # JAX has no common class for "this cannot be differentiated"
            continue
        return kind
    return "finite"


def n_evaluations(kind: Kind, d: int) -> int:
    """What value and derivative count as: reverse mode 1, forward mode 1 + d, finite differences 1 + 2 d."""
    return {"reverse": 1, "forward": 1 + d, "finite": 1 + 2 * d}[kind]


def with_derivative(function: Function, target: Target, u: Float[Array, " d"], kind: Kind) -> tuple[Array, Array]:
    """f(u) and the rows ∂f/∂u_i, shape (d, …).

    Finite differences are central, with h = ε^⅓ · max(|u|, scale), and one-sided of the same order where a bound is
    nearer than h: (4 f(u+h) − f(u+2h) − 3 f(u)) / 2h. The relative error is about ε^⅔ = 4·10⁻¹¹ for a smooth model.

    Source: Press et al., Numerical Recipes, 3rd ed., sec. 5.7.
    Checked: tests/unit/engines/test_derivative.py against closed forms.
    """
    return _finite(function, target, u) if kind == "finite" else _exact(function, u, kind)


def _exact(function: Function, u: Float[Array, " d"], kind: Kind) -> tuple[Array, Array]:
    if kind == "reverse":
        return jax.value_and_grad(function)(u)
    value, tangent = jax.linearize(function, u)
    return value, jax.vmap(tangent)(jnp.eye(u.shape[0], dtype=u.dtype))


def _finite(function: Function, target: Target, u: Float[Array, " d"]) -> tuple[Array, Array]:
    lower, upper = target.bounds()
    step = jnp.finfo(u.dtype).eps ** (1.0 / 3.0) * jnp.maximum(jnp.abs(u), scale_of_u(target))
    is_low, is_high = u - step < lower, u + step > upper
    first = jnp.where(is_high, -step, step)  # u + first and u + second, the second one behind u or beyond the first
    second = jnp.where(is_high, -2.0 * step, jnp.where(is_low, 2.0 * step, -step))
    first, second = (u + first) - u, (u + second) - u  # steps that are exact in floating point
    points = u[None, :] + jnp.concatenate([jnp.zeros((1, u.shape[0]), u.dtype), jnp.diag(first), jnp.diag(second)])
    values = jax.lax.map(function, points)  # one after another: a model that calls Python need not know batches
    here, near, far = values[0], values[1 : 1 + u.shape[0]], values[1 + u.shape[0] :]
    column = (-1,) + (1,) * here.ndim
    a, b = first.reshape(column), second.reshape(column)
    # the parabola through the three points; for b = −a this is (near − far) / 2a
    slope = (near - here[None]) * (b / (a * (b - a))) - (far - here[None]) * (a / (b * (b - a)))
    return here, slope
