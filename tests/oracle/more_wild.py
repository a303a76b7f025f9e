"""The 53 least-squares problems of Moré & Wild: 22 functions with published formulas, sizes and starts.

Source: Moré & Wild 2009, SIAM J. Optim. 20, 172, table 1 and appendix; formulas and starts of the first 18 functions:
Moré, Garbow & Hillstrom 1981, ACM Trans. Math. Softw. 7, 17; Bdqrtic, Cube, Mancino and Heart8ls: the CUTEr collection.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

# (function, n, m, start × 10): the order and the sizes of the paper
CASES = (
    *((1, 9, 45, k) for k in (0, 1)),
    *((2, 7, 35, k) for k in (0, 1)),
    *((3, 7, 35, k) for k in (0, 1)),
    *((4, 2, 2, k) for k in (0, 1)),
    *((5, 3, 3, k) for k in (0, 1)),
    *((6, 4, 4, k) for k in (0, 1)),
    *((7, 2, 2, k) for k in (0, 1)),
    *((8, 3, 15, k) for k in (0, 1)),
    (9, 4, 11, 0),
    (10, 3, 16, 0),
    *((11, n, 31, k) for n in (6, 9, 12) for k in (0, 1)),
    (12, 3, 10, 0),
    (13, 2, 10, 0),
    *((14, 4, 20, k) for k in (0, 1)),
    *((15, n, n, 0) for n in (6, 7, 8, 9, 10, 11)),
    (16, 10, 10, 0),
    (17, 5, 33, 0),
    *((18, 11, 65, k) for k in (0, 1)),
    *((19, n, m, 0) for n, m in ((8, 8), (10, 12), (11, 14), (12, 16))),
    *((20, n, n, 0) for n in (5, 6, 8)),
    (21, 5, 5, 0),
    (21, 5, 5, 1),
    (21, 8, 8, 0),
    (21, 10, 10, 0),
    (21, 12, 12, 0),
    (21, 12, 12, 1),
    *((22, 8, 8, k) for k in (0, 1)),
)

_BARD = [0.14, 0.18, 0.22, 0.25, 0.29, 0.32, 0.35, 0.39, 0.37, 0.58, 0.73, 0.96, 1.34, 2.10, 4.39]
_KOWALIK_V = [4.0, 2.0, 1.0, 0.5, 0.25, 0.167, 0.125, 0.1, 0.0833, 0.0714, 0.0625]
_KOWALIK_Y = [0.1957, 0.1947, 0.1735, 0.16, 0.0844, 0.0627, 0.0456, 0.0342, 0.0323, 0.0235, 0.0246]
_MEYER = [
    *(34780, 28610, 23650, 19630, 16370, 13720, 11540, 9744),
    *(8261, 7030, 6005, 5147, 4427, 3820, 3307, 2872),
]
_OSBORNE_1 = [
    *(0.844, 0.908, 0.932, 0.936, 0.925, 0.908, 0.881, 0.850, 0.818, 0.784, 0.751, 0.718, 0.685, 0.658, 0.628, 0.603),
    *(0.580, 0.558, 0.538, 0.522, 0.506, 0.490, 0.478, 0.467, 0.457, 0.448, 0.438, 0.431, 0.424, 0.420, 0.414, 0.411),
    0.406,
]
_OSBORNE_2 = [
    *(1.366, 1.191, 1.112, 1.013, 0.991, 0.885, 0.831, 0.847, 0.786, 0.725, 0.746, 0.679, 0.608, 0.655, 0.616, 0.606),
    *(0.602, 0.626, 0.651, 0.724, 0.649, 0.649, 0.694, 0.644, 0.624, 0.661, 0.612, 0.558, 0.533, 0.495, 0.500, 0.423),
    *(0.395, 0.375, 0.372, 0.391, 0.396, 0.405, 0.428, 0.429, 0.523, 0.562, 0.607, 0.653, 0.672, 0.708, 0.633, 0.668),
    *(0.645, 0.632, 0.591, 0.559, 0.597, 0.625, 0.739, 0.710, 0.729, 0.720, 0.636, 0.581, 0.428, 0.292, 0.162, 0.098),
    0.054,
]


def _linear(x, m):
    return jnp.concatenate([x, jnp.zeros(m - x.size)]) - 2 * jnp.sum(x) / m - 1


def _rank_one(x, m):
    return jnp.arange(1.0, m + 1) * jnp.sum(jnp.arange(1.0, x.size + 1) * x) - 1


def _rank_one_zeros(x, m):
    inner = jnp.sum(jnp.arange(2.0, x.size) * x[1:-1])
    return jnp.concatenate([jnp.arange(0.0, m - 1) * inner - 1, -jnp.ones(1)])


def _rosenbrock(x, m):
    return jnp.stack([10 * (x[1] - x[0] ** 2), 1 - x[0]])


def _helical(x, m):
    turn = jnp.arctan(x[1] / x[0]) / (2 * jnp.pi) + jnp.where(x[0] < 0, 0.5, 0.0)
    return jnp.stack([10 * (x[2] - 10 * turn), 10 * (jnp.sqrt(x[0] ** 2 + x[1] ** 2) - 1), x[2]])


def _powell_singular(x, m):
    root = jnp.sqrt(jnp.array([5.0, 10.0]))
    return jnp.stack([x[0] + 10 * x[1], root[0] * (x[2] - x[3]), (x[1] - 2 * x[2]) ** 2, root[1] * (x[0] - x[3]) ** 2])


def _freudenstein(x, m):
    return jnp.stack(
        [-13 + x[0] + ((5 - x[1]) * x[1] - 2) * x[1], -29 + x[0] + ((1 + x[1]) * x[1] - 14) * x[1]],
    )


def _bard(x, m):
    u = jnp.arange(1.0, 16)
    v = 16 - u
    return jnp.array(_BARD) - (x[0] + u / (x[1] * v + x[2] * jnp.minimum(u, v)))


def _kowalik(x, m):
    v = jnp.array(_KOWALIK_V)
    return jnp.array(_KOWALIK_Y) - x[0] * v * (v + x[1]) / (v * (v + x[2]) + x[3])


def _meyer(x, m):
    return x[0] * jnp.exp(x[1] / (45 + 5 * jnp.arange(1.0, 17) + x[2])) - jnp.array(_MEYER, float)


def _watson(x, m):
    n = x.size
    t = jnp.arange(1.0, 30)[:, None] / 29
    slope = jnp.sum(jnp.arange(1.0, n)[None, :] * t ** jnp.arange(0.0, n - 1)[None, :] * x[None, 1:], axis=1)
    value = jnp.sum(t ** jnp.arange(0.0, n)[None, :] * x[None, :], axis=1)
    return jnp.concatenate([slope - value**2 - 1, jnp.stack([x[0], x[1] - x[0] ** 2 - 1])])


def _box(x, m):
    t = jnp.arange(1.0, m + 1) / 10
    return jnp.exp(-t * x[0]) - jnp.exp(-t * x[1]) + (jnp.exp(-10 * t) - jnp.exp(-t)) * x[2]


def _jennrich(x, m):
    i = jnp.arange(1.0, m + 1)
    return 2 + 2 * i - jnp.exp(i * x[0]) - jnp.exp(i * x[1])


def _brown_dennis(x, m):
    t = jnp.arange(1.0, m + 1) / 5
    return (x[0] + t * x[1] - jnp.exp(t)) ** 2 + (x[2] + x[3] * jnp.sin(t) - jnp.cos(t)) ** 2


def _chebyquad(x, m):
    before, now = jnp.ones_like(x), 2 * x - 1
    means = []
    for i in range(1, m + 1):
        means.append(jnp.mean(now) + (1 / (i * i - 1) if i % 2 == 0 else 0.0))
        before, now = now, 2 * (2 * x - 1) * now - before
    return jnp.stack(means)


def _brown_almost_linear(x, m):
    return jnp.concatenate([x[:-1] + jnp.sum(x) - (x.size + 1), jnp.prod(x)[None] - 1])


def _osborne_1(x, m):
    t = 10 * jnp.arange(0.0, 33)
    return jnp.array(_OSBORNE_1) - (x[0] + x[1] * jnp.exp(-x[3] * t) + x[2] * jnp.exp(-x[4] * t))


def _osborne_2(x, m):
    t = jnp.arange(0.0, 65) / 10
    peaks = sum(x[k] * jnp.exp(-x[4 + k] * (t - x[7 + k]) ** 2) for k in (1, 2, 3))
    return jnp.array(_OSBORNE_2) - (x[0] * jnp.exp(-x[4] * t) + peaks)


def _bdqrtic(x, m):
    n = x.size
    squares = sum(k * x[k - 1 : n - 5 + k] ** 2 for k in (1, 2, 3, 4))
    return jnp.concatenate([3 - 4 * x[: n - 4], squares + 5 * x[-1] ** 2])


def _cube(x, m):
    return jnp.concatenate([x[:1] - 1, 10 * (x[1:] - x[:-1] ** 3)])


def _mancino(x, m):
    i = jnp.arange(1.0, x.size + 1)
    v = jnp.sqrt(x[:, None] ** 2 + i[:, None] / i[None, :])
    log = jnp.log(v)
    return 1400 * x + (i - 50) ** 3 + jnp.sum(v * (jnp.sin(log) ** 5 + jnp.cos(log) ** 5), axis=1)


def _heart(x, m):
    a, b, c, d, t, u, v, w = x
    return jnp.stack(
        [
            a + b + 0.69,
            c + d + 0.044,
            t * a + u * b - v * c - w * d + 1.57,
            v * a + w * b + t * c + u * d + 1.31,
            a * (t**2 - v**2) - 2 * c * t * v + b * (u**2 - w**2) - 2 * d * u * w + 2.65,
            c * (t**2 - v**2) + 2 * a * t * v + d * (u**2 - w**2) + 2 * b * u * w - 2,
            a * t * (t**2 - 3 * v**2)
            + c * v * (v**2 - 3 * t**2)
            + b * u * (u**2 - 3 * w**2)
            + d * w * (w**2 - 3 * u**2)
            + 12.6,
            c * t * (t**2 - 3 * v**2)
            - a * v * (v**2 - 3 * t**2)
            + d * u * (u**2 - 3 * w**2)
            - b * w * (w**2 - 3 * u**2)
            - 9.48,
        ]
    )


def _mancino_start(n):
    i = np.arange(1.0, n + 1)
    root = np.sqrt(i[:, None] / i[None, :])
    log = np.log(root)
    return -8.710996e-4 * ((i - 50) ** 3 + np.sum(root * (np.sin(log) ** 5 + np.cos(log) ** 5), axis=1))


FUNCTIONS: dict[int, tuple[str, Callable, Callable]] = {
    1: ("linear, full rank", _linear, np.ones),
    2: ("linear, rank 1", _rank_one, np.ones),
    3: ("linear, rank 1, zeros", _rank_one_zeros, np.ones),
    4: ("Rosenbrock", _rosenbrock, lambda n: [-1.2, 1]),
    5: ("helical valley", _helical, lambda n: [-1, 0, 0]),
    6: ("Powell singular", _powell_singular, lambda n: [3, -1, 0, 1]),
    7: ("Freudenstein and Roth", _freudenstein, lambda n: [0.5, -2]),
    8: ("Bard", _bard, np.ones),
    9: ("Kowalik and Osborne", _kowalik, lambda n: [0.25, 0.39, 0.415, 0.39]),
    10: ("Meyer", _meyer, lambda n: [0.02, 4000, 250]),
    11: ("Watson", _watson, lambda n: np.full(n, 0.5)),
    12: ("Box", _box, lambda n: [0, 10, 20]),
    13: ("Jennrich and Sampson", _jennrich, lambda n: [0.3, 0.4]),
    14: ("Brown and Dennis", _brown_dennis, lambda n: [25, 5, -5, -1]),
    15: ("Chebyquad", _chebyquad, lambda n: np.arange(1.0, n + 1) / (n + 1)),
    16: ("Brown almost-linear", _brown_almost_linear, lambda n: np.full(n, 0.5)),
    17: ("Osborne 1", _osborne_1, lambda n: [0.5, 1.5, 1, 0.01, 0.02]),
    18: ("Osborne 2", _osborne_2, lambda n: [1.3, 0.65, 0.65, 0.7, 0.6, 3, 5, 7, 2, 4.5, 5.5]),
    19: ("Bdqrtic", _bdqrtic, np.ones),
    20: ("Cube", _cube, lambda n: np.full(n, 0.5)),
    21: ("Mancino", _mancino, _mancino_start),
    22: ("Heart8", _heart, lambda n: [-0.3, -0.39, 0.3, -0.344, -1.2, 2.69, 1.59, -1.5]),
}


class Case(NamedTuple):
    """One of the 53: residuals(x) of length m, and its start."""

    name: str
    residuals: Callable
    start: np.ndarray


def case(index: int, factor: float = 1.0) -> Case:
    """Problem `index` of `CASES`, its start multiplied by `factor` (on top of the paper's own ten-fold starts)."""
    number, n, m, power = CASES[index]
    name, function, start = FUNCTIONS[number]
    x = np.asarray(start(n), float) * 10.0**power * factor
    return Case(f"{name}, n = {n}" + (", far" if power else ""), lambda x: function(x, m), x)
