"""Tables of the climate package: hashes, licences, traps of the files, and assessed ranges."""

from importlib.resources import files

import numpy as np
import pytest
from scipy import integrate

from campaign.science import DataFileError, InvalidValue, UnknownName
from campaign_climate.data import forcing as forcings
from campaign_climate.data.forcing import forcing, from_arrays, from_file
from campaign_climate.data.observed import NAMES, observed
from campaign_climate.data.parameter_sets import parameter_sets
from campaign_climate.data.ranges import RANGES, SplitNormal, assessed
from campaign_climate.data.tables import index, read_table, table

FOLDER = files("campaign_climate") / "data" / "tables"


@pytest.mark.parametrize("name", index())
def test_every_table_is_the_shipped_one_and_says_where_it_comes_from(name):
    own = table(name)
    assert own.source
    assert own.citation
    assert own.licence in ("CC-BY-4.0", "MIT", "OGL-UK-3.0", "numbers of a publication")
    assert len({len(column) for column in own.columns.values()}) == 1
    assert f"{name.replace(':', '_')}.csv" in (FOLDER / "NOTICE").read_text()


def test_no_table_lies_there_without_an_entry():
    assert {f"{name.replace(':', '_')}.csv" for name in index()} == {
        path.name for path in FOLDER.iterdir() if path.name.endswith(".csv")
    }


def test_a_changed_table_is_refused():
    data = (FOLDER / "gmst_hadcrut5.csv").read_bytes().replace(b"1850,", b"1849,", 1)
    with pytest.raises(DataFileError, match="damaged"):
        read_table("gmst:hadcrut5", data, index()["gmst:hadcrut5"])


@pytest.mark.parametrize(
    ("name", "first", "last"), [("igcc2024", 1750, 2024), ("ar6", 1750, 2019), ("ssp245", 1750, 2300)]
)
def test_stamps_within_a_year_stand_for_the_year(name, first, last):
    own = forcing(name)
    assert (own.years[0], own.years[-1]) == (first, last)
    assert own.total[0] == pytest.approx(0.3, abs=0.005)  # volcanoes and the sun in 1750
    assert (own.aerosol is None) == name.startswith("ssp")


def test_forcing_ends_where_it_is_told_to():
    own = forcing("igcc2024").until(1999)
    assert own.years[-1] == 1999
    assert len(own.aerosol) == 250
    with pytest.raises(InvalidValue, match="no year 2030"):
        own.until(2030)


def test_forcing_from_a_file(tmp_path):
    (tmp_path / "f.csv").write_text("time,total\n2000.5,1\n2001.5,2\n")
    np.testing.assert_array_equal(from_file(tmp_path / "f.csv").years, [2000, 2001])


@pytest.mark.parametrize(
    ("times", "values", "message"),
    [([2000, 2002], [1, 2], "2002 follows 2000"), ([2000, 2001], [1, np.nan], "index 1"), ([2000], [1, 2], "times")],
)
def test_forcing_with_gaps_is_refused(times, values, message):
    with pytest.raises(InvalidValue, match=message):
        from_arrays(times, values)


def test_unknown_names_have_a_hint():
    for call, name in ((forcing, "igcc"), (observed, "gmst:hadcrut4"), (parameter_sets, "cmip7"), (assessed, "ar6:ec")):
        with pytest.raises(UnknownName, match=name):
            call(name)
    assert forcings.DEFAULT in forcings.NAMES


@pytest.mark.parametrize("name", NAMES)
def test_observed_series_are_annual(name):
    own = observed(name)
    np.testing.assert_array_equal(np.diff(own.years), 1.0)
    assert np.isfinite(own.values).all()


def test_hadcrut_errors_come_from_its_confidence_interval():
    own, raw = observed("gmst:hadcrut5"), table("gmst:hadcrut5").columns
    np.testing.assert_allclose(own.sigma, (raw["ci95_high"] - raw["ci95_low"]) / (2 * 1.96), rtol=1e-4)
    assert (own.sigma.min(), own.sigma.max()) == (pytest.approx(0.0145, abs=1e-4), pytest.approx(0.105, abs=1e-3))


def test_parameter_sets_have_the_published_means():
    cmip6 = parameter_sets("cmip6")
    assert len(cmip6) == 35
    means = {name: np.mean([one[name] for one in cmip6.values()]) for name in next(iter(cmip6.values()))}
    assert means["lambda0"] == pytest.approx(1.063, abs=5e-4)
    assert means["efficacy"] == pytest.approx(1.341, abs=5e-4)
    assert means["f2x"] == pytest.approx(7.78 / 2, abs=5e-3)
    cmip5 = parameter_sets("cmip5")
    assert len(cmip5) == 16
    published = {"lambda0": 1.13, "heat_capacity_surface": 7.3, "heat_capacity_deep": 106.0, "eta": 0.73}
    for name, mean in published.items():
        assert np.mean([one[name] for one in cmip5.values()]) == pytest.approx(mean, rel=0.01)


@pytest.mark.parametrize("name", RANGES)
def test_assessed_ranges_have_their_quantiles(name):
    quantity, own = assessed(name)
    wanted = RANGES[name][1]
    for q, value in zip((0.05, 0.5, 0.95), wanted, strict=True):
        assert own.quantile(q) == pytest.approx(value, abs=1e-9)
        reach = own.mode - 12 * own.below
        below, _ = integrate.quad(lambda x: np.exp(own.log_density(x)), reach, value, points=[own.mode], epsabs=1e-12)
        assert below == pytest.approx(q, abs=1e-9)
    assert quantity in ("ECS", "TCR", "Aerosol Forcing")


def test_residuals_of_a_range_are_signed_and_square_to_its_density():
    own = SplitNormal(1.0, 0.5, 2.0)
    np.testing.assert_allclose([own.residual(x) for x in (0.5, 1.0, 5.0)], [-1.0, 0.0, 2.0])
    assert own.log_density(1.0) - own.log_density(5.0) == pytest.approx(2.0)


@pytest.mark.parametrize("quantiles", [(3, 2, 5), (0, 0.1, 100)])
def test_impossible_quantiles_are_refused(quantiles):
    with pytest.raises(InvalidValue):
        SplitNormal.from_quantiles(*quantiles)
