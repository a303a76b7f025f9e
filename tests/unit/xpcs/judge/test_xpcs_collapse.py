"""Layer 4: the alarm sounds exactly at the n-th step in a row, once, whatever the units."""

import numpy as np
import pytest

from campaign_xpcs.judge.collapse import Watch, first_alarm, gradient_ratio


@pytest.mark.parametrize(
    ("ratios", "step"),
    [
        ([0.001] * 10, 4),
        ([0.001] * 4 + [0.5] + [0.001] * 4, None),
        ([0.5, 0.001, 0.001, 0.5] + [0.001] * 5, 8),
        ([0.01] * 9, None),
        ([float("inf")] * 9, None),
        ([float("nan")] * 9, None),
        ([], None),
    ],
)
def test_the_alarm_sounds_at_the_fifth_step_in_a_row(ratios, step):
    assert first_alarm(np.array(ratios), Watch(threshold=0.01, triggers=5)) == step


def test_the_alarm_sounds_once():
    watch, sounded = Watch(threshold=0.1, triggers=2), []
    for _ in range(10):
        watch, now = watch.after(0.0)
        sounded.append(now)
    assert sounded == [False, True] + [False] * 8


def test_units_do_not_matter():
    rng = np.random.default_rng(1)
    J, r = rng.normal(size=(50, 5)), rng.normal(size=50)
    physical = np.array([True, True, False, False, False])
    once = gradient_ratio(r, J, physical)
    assert gradient_ratio(r, J * np.array([1e3, 1, 1e-6, 1, 1]), physical) == pytest.approx(once, rel=1e-12)
    g = J.T @ r / np.linalg.norm(J, axis=0)
    assert once == pytest.approx(np.linalg.norm(g[:2]) / np.linalg.norm(g[2:]), rel=1e-14)


def test_an_eliminated_scaling_never_sounds_the_alarm():
    J = np.eye(4)[:, :3]
    assert gradient_ratio(np.array([1.0, 0.0, 0.0, 5.0]), J, np.array([True, False, False])) == float("inf")
