"""Whether draws have two modes, seen in one direction at a time."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Bool, Float

_STEPS = 200
_LEAST_WEIGHT, _APART = 0.1, 2.0
_BETWEEN = (0.3, 0.4, 0.5, 0.6, 0.7)  # of the way from mean to mean
_FEWER, _SIGMAS = 0.125, 3.0  # half a width in |μ₁ − μ₂|; how surely there are fewer draws in it
_MORE = 3  # parameters that two Gaussians have more than one


def has_two_modes(draws: Float[np.ndarray, "n d"], n_effective: float) -> bool:
    """Whether some parameter, or the direction of largest spread, has two modes with fewer draws between them.

    Two Gaussians fit much better than one: the gain in ln L, scaled to the effective number of draws, is above
    3 ln n_eff (twice what BIC asks for). They are apart: D = |μ₁ − μ₂| / √((σ₁² + σ₂²)/2) > 2, below which equal parts
    have one mode; and each has at least a tenth of the draws. Somewhere between them there are fewer draws than at
    either mean, by three standard deviations.

    Source: Ashman, Bird and Zepf 1994, Astron. J. 108, 2348 (D).
    Checked: tests/unit/problem/reference/test_two_modes.py on normal, skewed, heavy-tailed and mixed draws.
    """
    spread = draws.std(axis=0)
    columns = (draws - draws.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    main = np.linalg.svd(columns, full_matrices=False)[2][0]
    along = columns @ main
    x = np.column_stack([columns, along / (along.std() or 1.0)])
    return bool(np.any(_are_two(x, n_effective)))


def _are_two(x: Float[np.ndarray, "n k"], n_effective: float) -> Bool[np.ndarray, " k"]:
    """Of each column, standardised, by expectation–maximisation from its lower and upper half."""
    n = len(x)
    is_upper = x > np.median(x, axis=0)
    share = np.where(is_upper, 0.95, 0.05)
    floor = 1e-4  # of the variance: a part may not shrink to one draw
    for _ in range(_STEPS):
        weight = share.mean(axis=0).clip(1e-6, 1 - 1e-6)
        means = [(s * x).sum(axis=0) / s.sum(axis=0) for s in (1 - share, share)]
        both = zip((1 - share, share), means, strict=True)
        widths = [np.sqrt((s * (x - m) ** 2).sum(axis=0) / s.sum(axis=0) + floor) for s, m in both]
        logs = [
            np.log(w) - np.log(s) - 0.5 * ((x - m) / s) ** 2
            for w, m, s in zip((1 - weight, weight), means, widths, strict=True)
        ]
        total = np.logaddexp(*logs)
        share = np.exp(logs[1] - total)
    gain = total.sum(axis=0) + 0.5 * n  # one Gaussian: Σ −½x² = −n/2, ln σ = 0
    gain = gain * min(n_effective / n, 1.0)
    apart = np.abs(means[0] - means[1]) / np.sqrt(0.5 * (widths[0] ** 2 + widths[1] ** 2))
    is_better = gain > _MORE * math.log(max(n_effective, 2.0))
    is_two = is_better & (apart > _APART) & (np.minimum(weight, 1 - weight) > _LEAST_WEIGHT)
    return is_two & _is_gap(x, means[0], means[1], n_effective)


def _is_gap(x: np.ndarray, one: np.ndarray, other: np.ndarray, n_effective: float) -> np.ndarray:
    """Whether fewer draws lie about some place between the means than about either mean, as Poisson counts."""
    reach = _FEWER * np.abs(one - other)

    def count(part: float) -> np.ndarray:
        near = np.abs(x - (one + part * (other - one))) < reach
        return n_effective / len(x) * near.sum(axis=0)

    between, least = np.min([count(part) for part in _BETWEEN], axis=0), np.minimum(count(0.0), count(1.0))
    return least - between > _SIGMAS * np.sqrt(least + between)
