"""From a diagonal curvature to one rate for each coordinate. The same bits in NumPy and in a compiled program."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """How rates follow from curvature. Compiled in.

    Attributes:
        power: p of precond = s²·(c + eps)^−p.
        eps: added to the curvature.
        floor_rel, curv_floor: least curvature, as a part of the largest and in itself; 0: none.
        clip_of: "lr" or "precond".
        is_relative: bounds are in units of s².
    """

    power: float = 1.0
    eps: float = 0.0
    floor_rel: float = 1e-10
    curv_floor: float = 0.0
    clip_of: str = "lr"
    is_relative: bool = False


class Rates(NamedTuple):
    """Rates of all coordinates, and how they came about.

    Attributes:
        precond: the preconditioner.
        lr_vec: the rates.
        floored: the curvature was raised to the floor.
        clipped: the rate, or the preconditioner, was moved to a bound.
    """

    precond: Float[Array, " d"]
    lr_vec: Float[Array, " d"]
    floored: Bool[Array, " d"]
    clipped: Bool[Array, " d"]


class Guards(NamedTuple):
    """What each coordinate's block says of its rate.

    Attributes:
        factor: of the rate; 0 freezes the coordinate.
        low, high: bounds.
    """

    factor: Float[Array, " d"]
    low: Float[Array, " d"]
    high: Float[Array, " d"]


def rates(
    curvature: Float[Array, " d"],
    scale: Float[Array, " d"],
    base_lr: Float[Array, ""] | float,
    guards: Guards,
    rule: Rule,
    *,
    xp: Any = jnp,
) -> Rates:
    """lr = base_lr · factor · s² · (max(|c|, floor) + eps)^−p, clipped.

    Args:
        curvature: c, of the coordinates in units of s: scaled, blended and smoothed already; any sign.
        scale: s.
        xp: NumPy computes the same bits: powers 0, ½ and 1 are exact operations, and no product meets a sum that a
            compiler could join it with.

    Outside the domain: infinite rates where the curvature is 0 and there is neither a floor nor an eps.
    Source: power ½ is RMSProp's and Adam's rule, 1 Jacobi's preconditioner (Saad 2003, sec. 4.1).
    Checked: tests/oracle/test_descent.py, C-02, C-05 to C-07, C-17, and bit for bit in NumPy.
    """
    size, floored = _floored(curvature, rule, xp)
    square = scale * scale
    precond = square * _inverse_power(size + rule.eps, rule.power, xp)
    unit = square if rule.is_relative else xp.ones_like(square)
    low, high = guards.low * unit, guards.high * unit
    unclipped = precond if rule.clip_of == "precond" else base_lr * guards.factor * precond
    kept = xp.minimum(xp.maximum(unclipped, low), high)
    clipped = (kept != unclipped) & (guards.factor != 0)
    if rule.clip_of == "precond":
        precond = kept
        kept = base_lr * guards.factor * precond
    return Rates(precond, xp.where(guards.factor == 0, 0.0, kept), floored, clipped)


def _floored(curvature: Any, rule: Rule, xp: Any) -> tuple[Any, Any]:
    size = xp.abs(curvature)
    floor = xp.maximum(rule.floor_rel * xp.max(size), rule.curv_floor)
    return xp.maximum(size, floor), size < floor


def _inverse_power(x: Any, power: float, xp: Any) -> Any:
    if power == 0.0:
        return xp.ones_like(x)
    if power == 1.0:
        return 1.0 / x
    if power == 0.5:
        return 1.0 / xp.maximum(xp.sqrt(x), 0.0)  # a compiler takes 1/√x as one operation, with other last bits
    return x ** (-power)
