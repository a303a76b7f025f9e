"""Each malformed input is an error that names it; what is changed on the way is said."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from campaign.science import InvalidValue
from campaign_xpcs.data.maps import two_time_maps

N = 6
T1, T2 = np.meshgrid(np.arange(N) * 0.1, np.arange(N) * 0.1, indexing="ij")


def given(**changes: Any) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    half = 1.0 + 0.1 * rng.standard_normal((2, N, N))
    return {"c2": half + np.swapaxes(half, 1, 2), "phi_deg": [-10.0, 80.0], "q": 0.005, "dt_s": 0.1} | changes


def lopsided() -> np.ndarray:
    c2 = given()["c2"]
    c2[1, 2, 4] += 1e-3
    return c2


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"dt_s": None}, "dt is missing"),
        ({"dt_s": -0.1}, "dt is -0.1"),
        ({"dt_s": 0.2, "times_s": np.arange(N) * 0.1}, "0.1 s apart"),
        ({"times_s": np.arange(N) ** 2 * 0.1}, "not uniform"),
        ({"times_s": np.arange(N) * 0.1 - 0.1}, "below 0"),
        ({"times_s": np.arange(N + 1) * 0.1}, "one time a row"),
        ({"t1": T2, "t2": T1}, "swapped"),
        ({"t1": T1}, "together"),
        ({"t1": T1, "t2": T2 + 1.0}, "not the same times"),
        ({"q": [0.005, 0.008]}, "2 different q"),
        ({"q": []}, "no q"),
        ({"q": -0.005}, "q is -0.005"),
        ({"gap": 0.0}, "gap is 0"),
        ({"phi_deg": [80.0, -10.0]}, "not sorted"),
        ({"phi_deg": [-180.0, 180.0]}, "the angle 180 twice"),
        ({"phi_deg": [0.0]}, "one angle a map"),
        ({"phi_deg": [0.0, np.nan]}, "no numbers"),
        ({"sigma": 0.0}, "sigma has values of 0"),
        ({"sigma": [0.1, -0.1]}, "sigma has values"),
        ({"sigma": np.full(3, 0.1)}, "sigma has shape"),
        ({"c2": np.ones((2, N, N - 1))}, "c2 has shape"),
        ({"c2": lopsided()}, "not symmetric"),
        ({"mask": np.tril(np.ones((N, N), bool))}, "mask is not symmetric"),
        ({"mask": np.zeros((N, N), bool)}, "no point above the diagonal counts"),
        ({"c2": np.full((2, N, N), np.nan)}, "every one is masked, or no number"),
    ],
)
def test_malformed_input_is_named(changes, said):
    with pytest.raises(InvalidValue, match=said):
        two_time_maps(**given(**changes))


def test_points_that_are_no_numbers_are_masked_and_counted():
    c2 = given()["c2"]
    c2[0, 1, 3] = np.nan  # its mirror goes with it
    c2[1, 2, 2] = np.nan  # on the diagonal: did not count before
    maps = two_time_maps(**given(c2=c2))
    assert maps.n_rows == 2 * 15
    assert maps.n_masked == 1
    assert not maps.mask[0, 3, 1]
    assert any(note.startswith("1 points") for note in maps.notes)


def test_what_is_defaulted_is_said():
    maps = two_time_maps(**given(t1=T1, t2=T2, q=[0.005, 0.005]))
    assert maps.sigma_is_default
    assert float(maps.sigma) == 0.01
    assert maps.times_s.tolist() == T1[:, 0].tolist()
    assert any("σ = 0.01" in note for note in maps.notes)
    assert not two_time_maps(**given(sigma=0.02)).sigma_is_default


def test_a_wider_diagonal_does_not_count():
    maps = two_time_maps(**given(diagonal_width=2))
    assert maps.n_points == 2 * (3 + 2 + 1)


def test_angles_may_wrap():
    assert two_time_maps(**given(phi_deg=[-170.0, 170.0])).n_phi == 2


def test_an_angle_without_any_point_is_said():
    c2 = given()["c2"]
    c2[1] = np.nan
    maps = two_time_maps(**given(c2=c2))
    assert "the map of angle number 1 has no point that counts: leave it out" in maps.notes
    assert maps.n_points == N * (N - 1) // 2
