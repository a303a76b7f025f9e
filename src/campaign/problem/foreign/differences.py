"""Derivatives of a model that gives none, by central differences."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np


class Offsets(NamedTuple):
    """Where a function of one variable is evaluated besides x, and what the three values weigh in its derivative.

    Attributes:
        near, far: a and b: at x + a and x + b. Both on one side of x where the other is beyond a bound.
        weights: of f(x), f(x+a) and f(x+b).
    """

    near: Any
    far: Any
    weights: tuple[Any, Any, Any]


def offsets(x: Any, scale: Any, lower: Any, upper: Any, xp: Any = np) -> Offsets:
    """The three-point rule, for NumPy arrays or (`xp` = jax.numpy) traced ones, elementwise.

    h = eps^(1/3)·max(|x|, scale), which balances the truncation h² and the rounding eps/h, at most a quarter of the
    range between the bounds. Inside: x ± h. Where one of them is beyond a bound both places lie on the other side, h
    and 2h away. With offsets a and b

        f'(x) ≈ −(a+b)/(ab) f(x) + b/(a(b−a)) f(x+a) − a/(b(b−a)) f(x+b),

    exact for parabolas, error O(h²).

    Source: Fornberg 1988, Math. Comp. 51, 699, table 3 (the weights for three points).
    Checked: tests/unit/problem/foreign/test_differences.py, tests/unit/engines/test_derivative.py against closed forms.
    """
    h = xp.minimum(xp.finfo(x.dtype).eps ** (1 / 3) * xp.maximum(xp.abs(x), scale), 0.25 * (upper - lower))
    a = xp.where(x + h > upper, -h, h)
    b = xp.where(x + h > upper, -2 * h, xp.where(x - h < lower, 2 * h, -h))
    a, b = (x + a) - x, (x + b) - x  # as they are in floating point
    return Offsets(a, b, (-(a + b) / (a * b), b / (a * (b - a)), -a / (b * (b - a))))


class Stencil(NamedTuple):
    """Where a model is evaluated for its derivatives at one theta, and how the values are combined.

    Attributes:
        points: (1 + 2k, d): theta, then two places for each parameter that moves.
        weights: (k, 3): of theta's value and of the two places'.
        moving: (k,) positions of the parameters that move.
    """

    points: np.ndarray
    weights: np.ndarray
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
    return Stencil(points, np.stack(rule.weights, axis=1), moving)


def combined(rule: Stencil, values: np.ndarray) -> np.ndarray:
    """∂ output / ∂ theta, (M, d), from the values at the points, (1 + 2k, M); 0 for parameters that stay."""
    jacobian = np.zeros((values.shape[1], rule.points.shape[1]))
    w = rule.weights[:, :, None]
    jacobian[:, rule.moving] = (w[:, 0] * values[0] + w[:, 1] * values[1::2] + w[:, 2] * values[2::2]).T
    return jacobian
