"""Readable units: number and label change together."""

import numpy as np
import pytest

from campaign.report.units import readable, split, to_unit


@pytest.mark.parametrize(
    ("value", "unit", "number", "shown"),
    [
        (2.5e-5, "as", 25.0, "µas"),
        (0.31, "as", 310.0, "mas"),
        (4000.0, "as", 4000.0, "as"),  # nobody writes kas
        (1.0, "as", 1.0, "as"),
        (0.999, "as", 999.0, "mas"),
        (3e-9, "m", 3.0, "nm"),
        (5.0e6, "nm", 5.0, "mm"),
        (0.02, "Mpc", 20.0, "kpc"),
        (1e-3, "km/s/Mpc", 1e-3, "km/s/Mpc"),
        (1e-3, "", 1e-3, ""),
        (0.0, "as", 0.0, "as"),
        (np.nan, "as", np.nan, "as"),
    ],
)
def test_a_value_in_a_readable_unit(value, unit, number, shown):
    factor, found = readable(np.array([value, 0.1 * value, np.nan]), unit)
    assert found == shown
    np.testing.assert_allclose(value * factor, number, rtol=1e-12)


def test_prefixes_are_read():
    assert split("µas") == split("uas") == split("μas") == ("µ", "as")
    assert split("m") == ("", "m")
    assert split("mm") == ("m", "m")
    assert split("deg") is None


def test_conversion():
    assert to_unit("as", "mas") == pytest.approx(1000.0)
    assert to_unit("km", "m") == pytest.approx(1000.0)
    assert to_unit("ppm", "ppm") == 1.0
    assert to_unit("as", "m") is None
