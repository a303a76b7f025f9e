"""Windows, angles, diagonals and block averages against what one computes by hand."""

from __future__ import annotations

import numpy as np
import pytest

from campaign.science import InvalidValue, UnknownName
from campaign_xpcs.data import choosing
from campaign_xpcs.data.maps import two_time_maps
from campaign_xpcs.data.units import gap_in_angstrom, q_in_inverse_angstrom

PHI = [-170.0, -95.0, -5.0, 5.0, 90.0, 175.0]


def maps(n: int = 12, **changes):
    half = np.random.default_rng(1).random((6, n, n))
    given = {"phi_deg": PHI, "q": 0.005, "dt_s": 0.1, "sigma": 0.02} | changes
    return two_time_maps(half + np.swapaxes(half, 1, 2), **given)


@pytest.mark.parametrize(
    ("ranges", "there"),
    [
        ([[-10, 10]], [-5, 5]),
        ([[170, -170]], [-170, 175]),
        ([[-170, 170]], [-170, -95, -5, 5, 90]),
        ([[-190, -160]], [-170, 175]),
        ([[85, 95], [-95, -85]], [-95, 90]),
        ([[350, 10]], [-5, 5]),
        ([[0, 360]], PHI),
    ],
)
def test_ranges_of_angles_wrap(ranges, there):
    assert choosing.angles(maps(), ranges).phi_deg.tolist() == there


def test_no_angle_is_an_error():
    with pytest.raises(InvalidValue, match="no angle"):
        choosing.angles(maps(), [[20, 30]])


def test_the_last_frame_is_in_the_window():
    own = maps()
    window = choosing.frames(own, 3, 7)
    assert window.n_times == 5
    np.testing.assert_array_equal(window.c2, own.c2[:, 2:7, 2:7])
    np.testing.assert_allclose(window.times_s, np.arange(5) * 0.1)
    assert choosing.frames(own, 10, 12).c2[0, -1, -1] == own.c2[0, -1, -1]
    for first, last in ((0, 5), (3, 13), (3, 4)):
        with pytest.raises(InvalidValue, match=f"frames {first} to {last}"):
            choosing.frames(own, first, last)


def test_the_diagonal_from_its_neighbours():
    c2 = np.array([[9.0, 1.0, 5.0], [1.0, 9.0, 3.0], [5.0, 3.0, 9.0]])
    assert np.diag(choosing.corrected_diagonal(c2)).tolist() == [1.0, 2.0, 3.0]


def test_a_wide_diagonal():
    assert choosing.masked_diagonal(maps(), 3).n_points == 6 * (8 * 9 // 2)


def test_block_averages():
    own = maps(13)
    found = choosing.block_averaged(own, 3)
    assert found.n_times == 4
    assert found.c2[2, 0, 3] == pytest.approx(own.c2[2, :3, 9:12].mean(), rel=1e-14)
    assert float(found.sigma) == pytest.approx(0.02 / 3)
    np.testing.assert_allclose(found.times_s, [0.1, 0.4, 0.7, 1.0])
    assert found.dt_s == pytest.approx(0.3)
    assert "1 frames at the end left out" in found.notes[-1]


def test_block_averages_of_what_counts():
    mask = np.ones((6, 12, 12), bool)
    mask[0, 0, 9] = mask[0, 9, 0] = False
    own = maps(mask=mask)
    found = choosing.block_averaged(own, 3)
    kept = np.delete(own.c2[0, :3, 9:12].ravel(), 0)
    assert found.c2[0, 0, 3] == pytest.approx(kept.mean(), rel=1e-14)
    assert found.sigma[0, 0, 3] == pytest.approx(0.02 / np.sqrt(8))
    assert found.sigma[1, 0, 3] == pytest.approx(0.02 / 3)


def test_units():
    assert gap_in_angstrom(200.0, "um") == pytest.approx(2e6)
    assert q_in_inverse_angstrom(0.054, "1/nm") == pytest.approx(0.0054)
    with pytest.raises(InvalidValue, match="is the unit right"):
        gap_in_angstrom(200.0, "A")
    with pytest.raises(UnknownName, match="unit"):
        q_in_inverse_angstrom(0.05, "1/m")
