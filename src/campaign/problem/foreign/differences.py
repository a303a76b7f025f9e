"""Derivatives of a model that gives none, by central differences."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

STEP = float(np.finfo(np.float64).eps ** (1 / 3))  # 6.06e-6: balances the truncation h² and the rounding eps/h


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
    """The three-point rule for each parameter that moves.

    h_i = eps^(1/3)·max(|theta_i|, scale_i), at most a quarter of the range between the bounds. Inside: theta ± h. Where
    one of them is beyond a bound both places lie on the other side, h and 2h away. With offsets a and b

        f'(x) ≈ −(a+b)/(ab) f(x) + b/(a(b−a)) f(x+a) − a/(b(b−a)) f(x+b),

    exact for parabolas, error O(h²).

    Args:
        theta, scale, lower, upper: (d,) in theta units; the model is never evaluated outside the bounds.
        moves: (d,) bool.

    Source: Fornberg 1988, Math. Comp. 51, 699, table 3 (the weights for three points).
    Checked: tests/unit/problem/foreign/test_differences.py against closed forms.
    """
    moving = np.flatnonzero(moves)
    x, low, high = theta[moving], lower[moving], upper[moving]
    h = np.minimum(STEP * np.maximum(np.abs(x), scale[moving]), 0.25 * (high - low))
    a = np.where(x + h > high, -h, h)
    b = np.where(x + h > high, -2 * h, np.where(x - h < low, 2 * h, -h))
    a, b = (x + a) - x, (x + b) - x  # as they are in floating point
    points = np.tile(theta, (1 + 2 * len(moving), 1))
    rows = np.arange(len(moving))
    points[1 + 2 * rows, moving] = x + a
    points[2 + 2 * rows, moving] = x + b
    weights = np.stack([-(a + b) / (a * b), b / (a * (b - a)), -a / (b * (b - a))], axis=1)
    return Stencil(points, weights, moving)


def combined(rule: Stencil, values: np.ndarray) -> np.ndarray:
    """∂ output / ∂ theta, (M, d), from the values at the points, (1 + 2k, M); 0 for parameters that stay."""
    jacobian = np.zeros((values.shape[1], rule.points.shape[1]))
    w = rule.weights[:, :, None]
    jacobian[:, rule.moving] = (w[:, 0] * values[0] + w[:, 1] * values[1::2] + w[:, 2] * values[2::2]).T
    return jacobian
