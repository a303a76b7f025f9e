"""Derivatives of a model in u: exact where JAX can differentiate it, else by differences of batched evaluations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from campaign.problem.foreign.differences import offsets, slopes
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
    scalar: tuple[Kind, ...] = ("reverse", "forward")
    kind: Kind
    for kind in scalar if out.shape == () else scalar[1:]:
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

    Finite differences are those of `offsets`, h from the typical change of u; one-sided where a bound is nearer than
    h. The relative error is about ε^⅔ = 4·10⁻¹¹ for a smooth model.

    Checked: tests/unit/engines/test_derivative.py against closed forms.
    """
    return _finite(function, target, u) if kind == "finite" else _exact(function, u, kind)


def _exact(function: Function, u: Float[Array, " d"], kind: Kind) -> tuple[Array, Array]:
    if kind == "reverse":
        return jax.value_and_grad(function)(u)
    value, tangent = jax.linearize(function, u)
    return value, jax.vmap(tangent)(jnp.eye(u.shape[0], dtype=u.dtype))


def _finite(function: Function, target: Target, u: Float[Array, " d"]) -> tuple[Array, Array]:
    rule = offsets(u, scale_of_u(target), *target.bounds(), xp=jnp)
    points = u[None, :] + jnp.concatenate(
        [jnp.zeros((1, u.shape[0]), u.dtype), jnp.diag(rule.near), jnp.diag(rule.far)]
    )
    values = jax.lax.map(function, points)  # one after another: a model that calls Python need not know batches
    d = u.shape[0]
    return values[0], slopes(rule.weights, values[0], values[1 : 1 + d], values[1 + d :], xp=jnp)
