"""Derivatives of a model that gives none, by central differences."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np


class Offsets(NamedTuple):
    """Where a function of one variable is evaluated besides x, and what the changes there weigh in its derivative.

    Attributes:
        near, far: a and b: at x + a and x + b. Both on one side of x where the other is beyond a bound.
        weights: of f(x+a) − f(x) and f(x+b) − f(x).
    """

    near: Any
    far: Any
    weights: tuple[Any, Any]


def offsets(x: Any, scale: Any, lower: Any, upper: Any, xp: Any = np) -> Offsets:
    """The three-point rule, for NumPy arrays or (`xp` = jax.numpy) traced ones, elementwise.

    h = eps^(1/3)·max(|x|, scale), which balances the truncation h² and the rounding eps/h, at most a quarter of the
    range between the bounds. Inside: x ± h. Where one of them is beyond a bound both places lie on the other side, h
    and 2h away. With offsets a and b

        f'(x) ≈ b/(a(b−a)) (f(x+a) − f(x)) − a/(b(b−a)) (f(x+b) − f(x)),

    exact for parabolas, error O(h²), and 0 for a constant.

    Source: Fornberg 1988, Math. Comp. 51, 699, table 3 (the weights for three points).
    Checked: tests/unit/problem/foreign/test_differences.py, tests/unit/engines/test_derivative.py against closed forms.
    """
    h = xp.minimum(xp.finfo(x.dtype).eps ** (1 / 3) * xp.maximum(xp.abs(x), scale), 0.25 * (upper - lower))
    a = xp.where(x + h > upper, -h, h)
    b = xp.where(x + h > upper, -2 * h, xp.where(x - h < lower, 2 * h, -h))
    a, b = (x + a) - x, (x + b) - x  # as they are in floating point
    return Offsets(a, b, (b / (a * (b - a)), -a / (b * (b - a))))


def slopes(weights: tuple[Any, Any], here: Any, near: Any, far: Any, xp: Any = np) -> Any:
    """Derivatives from values, by the rule of `offsets`; 0 along a parameter that changes nothing beyond rounding.

    Differences of a few ε·|f| are rounding of the model. Divided by h they would look like a small derivative, and a
    parameter that does nothing like one that the data determine, with an error bar of 1/ε.

    Args:
        weights: each (k,), of k parameters.
        here: f(x), shape (…).
        near, far: at both places of each parameter, (k, …).
    """
    changes = near - here[None], far - here[None]
    rounding = 4 * xp.finfo(here.dtype).eps * xp.abs(here)[None]
    inner = tuple(range(1, near.ndim))
    is_still = xp.all((xp.abs(changes[0]) <= rounding) & (xp.abs(changes[1]) <= rounding), axis=inner, keepdims=True)
    first, second = (weight.reshape((-1,) + (1,) * len(inner)) for weight in weights)
    return xp.where(is_still, 0.0, first * changes[0] + second * changes[1])


class Stencil(NamedTuple):
    """Where a model is evaluated for its derivatives at one theta, and how the values are combined.

    Attributes:
        points: (1 + 2k, d): theta, then two places for each parameter that moves.
        weights: each (k,), of the changes at the two places.
        moving: (k,) positions of the parameters that move.
    """

    points: np.ndarray
    weights: tuple[np.ndarray, np.ndarray]
    moving: np.ndarray


def stencil(theta: np.ndarray, scale: np.ndarray, lower: np.ndarray, upper: np.ndarray, moves: np.ndarray) -> Stencil:
    """The three-point rule for each parameter that moves: see `offsets`.

    Args:
        theta, scale, lower, upper: (d,) in theta units; the model is never evaluated outside the bounds.
        moves: (d,) bool.
    """
    moving = np.flatnonzero(moves)
    x = theta[moving]
    rule = offsets(x, scale[moving], lower[moving], upper[moving])
    points = np.tile(theta, (1 + 2 * len(moving), 1))
    rows = np.arange(len(moving))
    points[1 + 2 * rows, moving] = x + rule.near
    points[2 + 2 * rows, moving] = x + rule.far
    return Stencil(points, rule.weights, moving)


def combined(rule: Stencil, values: np.ndarray) -> np.ndarray:
    """∂ output / ∂ theta, (M, d), from the values at the points, (1 + 2k, M); 0 for parameters that stay."""
    jacobian = np.zeros((values.shape[1], rule.points.shape[1]))
    jacobian[:, rule.moving] = slopes(rule.weights, values[0], values[1::2], values[2::2]).T
    return jacobian
