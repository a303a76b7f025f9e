"""One mode or two: what is said of draws whose distribution is known."""

from __future__ import annotations

import numpy as np
import pytest

from campaign.problem.reference.two_modes import has_two_modes

N = 2000
ONE = {
    "normal": lambda rng: rng.standard_normal((N, 3)),
    "exponential": lambda rng: rng.exponential(size=(N, 3)),
    "lognormal": lambda rng: np.exp(rng.standard_normal((N, 2))),
    "heavy tails": lambda rng: rng.standard_t(3, size=(N, 3)),
    "uniform": lambda rng: rng.uniform(size=(N, 3)),
    "banana": lambda rng: (lambda x: np.column_stack([x, x**2 + 0.3 * rng.standard_normal(N)]))(rng.standard_normal(N)),
    "close": lambda rng: _mixed(rng, 0.5, 1.5),
    "a small part": lambda rng: _mixed(rng, 0.03, 6.0),
}
TWO = {"equal parts": (0.5, 4.0), "a fifth": (0.2, 5.0), "far": (0.5, 50.0)}


def _mixed(rng: np.random.Generator, part: float, apart: float) -> np.ndarray:
    return np.column_stack([rng.standard_normal(N), rng.standard_normal(N) + apart * (rng.random(N) < part)])


@pytest.mark.parametrize("name", ONE)
def test_one_mode_is_one(name):
    assert sum(has_two_modes(ONE[name](np.random.default_rng(seed)), N) for seed in range(20)) == 0


@pytest.mark.parametrize("name", TWO)
def test_two_modes_are_found_in_any_units(name):
    for seed in range(10):
        draws = _mixed(np.random.default_rng(seed), *TWO[name])
        assert has_two_modes(draws, N)
        assert has_two_modes(draws * [1e12, 1e-9] + [0.0, 1.0], N)


def test_two_modes_along_a_diagonal_are_found_though_no_parameter_has_them():
    rng = np.random.default_rng(1)
    side = np.where(rng.random(N) < 0.5, 1.0, -1.0)[:, None]
    draws = 0.8 * side + 1.0 * rng.standard_normal((N, 6))  # D = 1.6 in each, 3.9 along (1, …, 1)
    assert has_two_modes(draws, N)


def test_few_effective_draws_show_nothing():
    draws = _mixed(np.random.default_rng(0), 0.5, 4.0)
    assert not has_two_modes(draws, 8)
