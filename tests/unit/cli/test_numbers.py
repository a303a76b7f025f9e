"""Numbers as people write them."""

import math

import pytest

from campaign.cli.numbers import count, duration, measurement, rate, size


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (68.63524, 0.4213, "68.64 ± 0.42"),
        (0.3010207, 0.00542, "0.3010 ± 0.0054"),
        (0.02253761, 0.000129, "0.02254 ± 0.00013"),
        (1.0, 0.0996, "1.00 ± 0.10"),  # the error rounds up to one digit more
        (1234.5, 96.0, "1234 ± 96"),
        (1234.5, 99.6, "1230 ± 100"),
        (1234.5, 230.0, "1230 ± 230"),
        (0.0, 0.5, "0.00 ± 0.50"),
        (-3.21987, 0.011, "-3.220 ± 0.011"),
        (1.2043e-7, 1.3e-9, "(1.204 ± 0.013)e-07"),
        (4.5678e9, 2.1e7, "(4.568 ± 0.021)e+09"),
        (2.0, None, "2"),
        (2.0, math.nan, "2"),
        (2.0, 0.0, "2"),
        (0.123456789, None, "0.123457"),
        (None, 1.0, "undetermined"),
        (math.nan, 1.0, "undetermined"),
    ],
)
def test_measurement_ends_at_the_second_digit_of_its_error(value, error, text):
    assert measurement(value, error) == text


def test_measurement_has_its_unit():
    assert measurement(68.63524, 0.4213, "km/s/Mpc") == "68.64 ± 0.42 km/s/Mpc"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0352, "35 ms"),
        (0.0, "0.0 s"),
        (4.21, "4.2 s"),
        (200, "3 min 20 s"),
        (18120, "5 h 02 min"),
        (273600, "3 d 04 h"),
        (None, "unknown"),
    ],
)
def test_duration(seconds, text):
    assert duration(seconds) == text


def test_counts_rates_and_bytes():
    assert count(1234567) == "1,234,567"
    assert rate(1870.2) == "1,870 runs/s"
    assert rate(2.34) == "2.3 runs/s"
    assert rate(0.05) == "3 runs/min"
    assert rate(None) == rate(0.0) == "–"
    assert size(999) == "999 B"
    assert size(12_345_678) == "12.3 MB"
