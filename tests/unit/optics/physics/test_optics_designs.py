"""Telescopes: what follows from their numbers, as the design document and the instrument's table state it."""

import pytest

from campaign.errors import UnknownName
from campaign_optics.physics import designs


@pytest.mark.parametrize(
    ("name", "focal", "scale", "long", "short"),
    [("testbed", 3.776365, 0.355030, 11.336450, 6.780147), ("flight", 7.701014, 0.123207, 11.684201, 7.127899)],
)
def test_derived_numbers(name, focal, scale, long, short):
    own = designs.design(name)
    assert designs.focal_length(own.focal_1, own.focal_2, own.separation) == pytest.approx(focal, abs=5e-7)
    assert own.plate_scale == pytest.approx(scale, abs=5e-7)
    assert designs.log_flux_total(own.diameter, own.bandwidth, 1800.0) == pytest.approx(long, abs=5e-7)
    assert designs.log_flux_total(own.diameter, own.bandwidth, 0.05) == pytest.approx(short, abs=5e-7)


def test_the_beam_on_the_secondary_mirror():
    arcsec = designs.ARCSEC
    assert designs.design("testbed").footprint_shift * 5.0 * arcsec == pytest.approx(0.0016255136896379304, rel=1e-12)
    assert designs.design("two-plane").footprint_shift == 0.0


def test_fluxes_add_up_in_the_given_ratio():
    a, b = designs.raw_fluxes(7.0, 3.2)
    assert a + b == pytest.approx(1e7, rel=1e-14)
    assert a / b == pytest.approx(3.2, rel=1e-14)


def test_wavelengths_reach_from_edge_to_edge():
    assert designs.design("testbed").wavelengths == pytest.approx((495e-9, 550e-9, 605e-9), rel=1e-14)


def test_an_unknown_design_names_the_nearest():
    with pytest.raises(UnknownName, match="unknown design `fligt`") as caught:
        designs.design("fligt")
    assert "flight" in caught.value.hint
