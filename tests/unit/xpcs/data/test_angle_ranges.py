"""Angle ranges that wrap, against points on the circle."""

import numpy as np
import pytest

from campaign.science import InvalidValue
from campaign_xpcs.data.angle_ranges import AngleRange, chosen_angles


@pytest.mark.parametrize(
    ("low", "high", "inside", "outside"),
    [
        (-10, 10, [-10, 0, 10, 350, 370, -360], [11, -11, 180]),
        (170, -170, [170, 175, 180, -180, -175, -170, 190], [169, -169, 0]),
        (-170, 170, [-170, 0, 170, 90], [175, 180, -175, 185]),
        (350, 370, [0, -5, 355, 10], [11, 340]),
        (85, 95, [90, 95, 85, -270], [-90, 84]),
        (0, 360, [0, 123, 359.9], []),
        (-180, 180, [-180, 0, 180], []),
        (30, 30, [30, 390], [31]),
    ],
)
def test_a_range_may_pass_through_180(low, high, inside, outside):
    one = AngleRange(low=low, high=high)
    assert one.holds(np.array(inside, float)).all()
    assert not one.holds(np.array(outside, float)).any()


def test_a_wrapping_range_is_what_the_circle_says():
    rng = np.random.default_rng(1)
    phi = rng.uniform(-720, 720, 500)
    for low, width in rng.uniform([-200, 1], [200, 300], (40, 2)):
        ends = np.deg2rad(phi - low - 0.5 * width)
        distance = np.rad2deg(np.abs(np.arctan2(np.sin(ends), np.cos(ends))))
        high = (low + width + 180.0) % 360.0 - 180.0  # spelt within ±180: may be below low
        expected = distance <= 0.5 * width
        sure = np.abs(distance - 0.5 * width) > 1e-6
        wraps = AngleRange(low=(low + 180.0) % 360.0 - 180.0, high=high)
        np.testing.assert_array_equal(wraps.holds(phi)[sure], expected[sure])


def test_what_was_chosen_is_said():
    phi = np.array([-175.0, 0.0, 90.0, 175.0])
    inside, said = chosen_angles(phi, (AngleRange(low=170, high=-170),))
    assert inside.tolist() == [True, False, False, True]
    assert said == "2 of 4 angles in 170 … -170"
    assert chosen_angles(phi, ())[0].all()


def test_no_angle_is_an_error_unless_all_are_wanted_then():
    phi, ranges = np.array([0.0, 90.0]), (AngleRange(low=40, high=50),)
    with pytest.raises(InvalidValue, match=r"none of the angles 0, 90 is in 40 … 50"):
        chosen_angles(phi, ranges)
    inside, said = chosen_angles(phi, ranges, all_if_none=True)
    assert inside.all()
    assert "fallback_to_all_angles" in said
