"""Targets: from arrays, frames, files and scmdata; errors, gaps, order and reference periods."""

import numpy as np
import pandas as pd
import pytest
import scmdata

from campaign.science import DataFileError, InvalidValue, Prior, UnknownName
from campaign_climate.data.ranges import SplitNormal
from campaign_climate.model.target import Target

YEARS = np.arange(1850, 1861)
VALUES = np.linspace(-0.3, 0.7, 11)


def test_missing_values_are_dropped_and_counted_and_times_sorted():
    target = Target().add_variable("T", [2002, 2000, 2001, 2003], [3.0, 1.0, np.nan, 4.0], [0.3, 0.1, 0.2, 0.4])
    own = target["T"]
    np.testing.assert_array_equal(own.times, [2000, 2002, 2003])
    np.testing.assert_array_equal(own.values, [1, 3, 4])
    np.testing.assert_array_equal(own.uncertainties, [0.1, 0.3, 0.4])
    assert own.n_dropped == 1
    assert len(target) == 3


def test_a_relative_error_is_a_fraction_of_each_value():
    own = Target().add_variable("T", [0, 1], [10.0, 20.0], relative_error=0.05)["T"]
    np.testing.assert_allclose(own.uncertainties, [0.5, 1.0])
    floored = Target().add_variable("T", [0, 1], [0.0, 20.0], relative_error=0.05, floor=0.1)["T"]
    np.testing.assert_allclose(floored.uncertainties, [0.1, 1.0])


def test_extra_errors_add_in_quadrature_and_weights_are_kept():
    own = Target().add_variable("T", [0, 1], [1, 2], 0.3, extra_sigma=[0.4, 0.0], weights=2.0)["T"]
    np.testing.assert_allclose(own.uncertainties, [0.5, 0.3])
    np.testing.assert_array_equal(own.weights, 2.0)
    alone = Target().add_variable("T", [0, 1], [1, 2], extra_sigma=0.4)["T"]
    np.testing.assert_array_equal(alone.uncertainties, 0.4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0, 1, 0], [1, 2, 3], 0.1), "time 0 appears twice"),
        (([0, 1], [1, 2], [0.1, 0.0]), "index 1 .* is 0"),
        (([0, 1], [1, 2], [0.1, -1.0]), "index 1"),
        (([0, 1], [1, 2, 3], 0.1), "times"),
        (([0, 1], [np.nan, np.nan], 0.1), "all 2 values"),
        (([0, np.nan], [1, 2], 0.1), "time at index 1"),
        (([0, 1], [1, np.inf], 0.1), "value at index 1"),
    ],
)
def test_what_cannot_be_is_refused_with_the_place(arguments, message):
    with pytest.raises(InvalidValue, match=message):
        Target().add_variable("T", *arguments)


@pytest.mark.parametrize(
    ("errors", "message"),
    [
        ({"relative_error": 0.1}, "index 0 .value 0. is 0"),
        ({"uncertainties": 0.1, "relative_error": 0.1}, "give one|relative_error"),
        ({"uncertainties": 0.1, "rho": 1.0}, "rho is 1"),
        ({"uncertainties": 0.1, "weights": [1.0, 0.0]}, "weight at index 1"),
        ({"uncertainties": 0.1, "weights": [1.0]}, "weights"),
        ({"covariance": [[1.0, 2.0], [2.0, 1.0]]}, "eigenvalue"),
        ({"covariance": [[1.0, 0.5], [0.4, 1.0]]}, "symmetric"),
        ({"covariance": [[1.0]]}, "shape"),
        ({"covariance": np.eye(2), "rho": 0.5}, "beside other errors"),
    ],
)
def test_errors_that_say_nothing_are_refused(errors, message):
    with pytest.raises(InvalidValue, match=message):
        Target().add_variable("T", [0, 1], [0.0, 2.0], **errors)


def test_anomalies_have_no_mean_in_their_reference_period():
    own = Target().add_variable("T", YEARS, VALUES, 0.1).with_reference_period(1852, 1855)["T"]
    inside = (own.times >= 1852) & (own.times <= 1855)
    assert inside.sum() == 4
    assert abs(own.anomalies[inside].mean()) < 1e-15
    np.testing.assert_allclose(own.anomalies - own.values, own.anomalies[0] - own.values[0])
    np.testing.assert_array_equal(own.uncertainties, 0.1)


def test_a_variable_without_data_in_the_period_names_the_form_for_each_variable():
    target = Target().add_variable("Surface Temperature", YEARS, VALUES, 0.1)
    target.add_variable("Ocean Heat Content", [1971, 1972], [0.0, 1.0], 1.0).with_reference_period(1850, 1860)
    with pytest.raises(InvalidValue, match="`Ocean Heat Content` has no data") as error:
        _ = target.observations
    assert '"Ocean Heat Content": (1995, 2014)' in error.value.hint
    target.with_reference_period({"Surface Temperature": (1850, 1860), "Ocean Heat Content": None})
    heat = target["Ocean Heat Content"]
    np.testing.assert_array_equal(heat.anomalies, heat.values)
    assert target.set_reference_period("Ocean Heat Content", 1971, 1971)["Ocean Heat Content"].anomalies[1] == 1.0
    assert target["Surface Temperature"].reference == (1850.0, 1860.0)


@pytest.mark.parametrize("period", [(1900, 1850), ({"T": (1900, 1850)},), ({"Q": None},), (1850,)])
def test_impossible_periods_are_refused(period):
    with pytest.raises(InvalidValue):
        Target().add_variable("T", YEARS, VALUES, 0.1).with_reference_period(*period)


def frame():
    return pd.DataFrame({"year": YEARS, "gmst": VALUES, "heat": 100 * VALUES, "u": 0.1, "v": 5.0})


def test_a_data_frame_with_one_error_for_all_or_one_for_each():
    wanted = {"Temperature": "gmst", "OHC": "heat"}
    one = Target.from_dataframe(
        frame(), time_col="year", variables=wanted, uncertainty_col="u", reference_period=(1850, 1855)
    )
    each = Target.from_dataframe(
        frame(), time_col="year", variables=wanted, uncertainty_col={"Temperature": "u", "OHC": "v"}
    )
    assert one.variables == ("Temperature", "OHC")
    assert (one["OHC"].uncertainties[0], each["OHC"].uncertainties[0]) == (0.1, 5.0)
    assert abs(one["OHC"].anomalies[:6].mean()) < 1e-12
    relative = Target.from_dataframe(
        frame(), time_col="year", variables={"Temperature": "gmst"}, relative_error=0.05, floor=0.01
    )
    assert relative["Temperature"].uncertainties[-1] == pytest.approx(0.035)
    with pytest.raises(InvalidValue, match="no column `gmts`"):
        Target.from_dataframe(frame(), time_col="year", variables={"T": "gmts"})


def test_a_file_with_several_variables(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("variable,time,value,uncertainty\nA,2000,1,0.1\nB,2000,2,0.2\nA,2001,3,0.3\n")
    target = Target.from_file(path)
    np.testing.assert_array_equal(target["A"].uncertainties, [0.1, 0.3])
    path.write_text("time,value\n2000,1\n")
    assert np.isnan(Target.from_file(path)["Surface Temperature"].uncertainties).all()
    path.write_text("year,value\n2000,1\n")
    with pytest.raises(InvalidValue, match="no column `time`"):
        Target.from_file(path)
    with pytest.raises(DataFileError):
        Target.from_file(tmp_path / "none.csv")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("time,value,sigma\n2000,1,0.1\n", "column `sigma`, which says nothing"),
        ("time,value\n2000,1\n2001,about 2\n", "row 2, column `value`: 'about 2' is not a number"),
        ("variable,time,value\nT,2000,1\n,2001,2\n", "row 2: no variable is named"),
        ("time,value\n2000,1,0.1\n2001,2,0.1\n", "line 2, saw 3"),
        ("time,value\n", "no data"),
        ("time,value,value\n2000,1,0.1\n", "two columns `value`"),
    ],
)
def test_nothing_of_a_file_is_passed_over(tmp_path, text, words):
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises((InvalidValue, DataFileError), match=words):
        Target.from_file(path)


def test_dates_of_a_frame_are_decimal_years():
    dates = frame().assign(year=pd.to_datetime([f"{int(y)}-07-02" for y in YEARS]))
    target = Target.from_dataframe(dates, time_col="year", variables={"T": "gmst"}, uncertainty_col="u")
    np.testing.assert_allclose(target["T"].times, YEARS + 0.5, atol=0.01)


def test_errors_for_a_variable_that_is_not_there_are_refused():
    with pytest.raises(InvalidValue, match="`Temp`, which is no variable"):
        Target.from_dataframe(frame(), time_col="year", variables={"T": "gmst"}, uncertainty_col={"Temp": "u"})


def test_a_negative_extra_error_is_refused():
    with pytest.raises(InvalidValue, match="extra_sigma at index 0 is -1"):
        Target().add_variable("T", YEARS, VALUES, 0.1, extra_sigma=-1.0)


class Run:
    """What an scmdata.ScmRun has of `timeseries`: rows of series, columns of times."""

    def __init__(self, names, columns):
        index = pd.MultiIndex.from_tuples([(n, "World", "K") for n in names], names=["variable", "region", "unit"])
        self.frame = pd.DataFrame([VALUES + i for i in range(len(names))], index=index, columns=columns)

    def timeseries(self):
        return self.frame


def test_series_of_scmdata_have_the_years_of_their_dates():
    dates = pd.to_datetime([f"{year}-01-01" for year in YEARS])
    target = Target.from_scmdata(
        Run(["GMST", "Heat"], dates),
        variables={"Surface Temperature": "GMST"},
        uncertainties={"Surface Temperature": 0.1},
    )
    np.testing.assert_array_equal(target["Surface Temperature"].times, YEARS)
    middle = Target.from_scmdata(Run(["GMST"], pd.to_datetime([f"{year}-07-02" for year in YEARS])))
    np.testing.assert_allclose(middle["GMST"].times, YEARS + 0.5, atol=0.01)
    with pytest.raises(InvalidValue, match="2 series of `GMST`"):
        Target.from_scmdata(Run(["GMST", "GMST"], dates))


def test_real_scmdata():
    run = scmdata.ScmRun(
        data=VALUES,
        index=YEARS,
        columns={"variable": "Surface Temperature", "unit": "K", "region": "World", "model": "m", "scenario": "s"},
    )
    own = Target.from_scmdata(run, reference_period=(1850, 1860))["Surface Temperature"]
    np.testing.assert_array_equal(own.times, YEARS)
    assert abs(own.anomalies.mean()) < 1e-15


def test_scalars_are_ranges_by_name_or_any_distribution():
    target = Target().add_range("ar6:ecs").add_scalar("TCR", Prior("normal", (1.8, 0.3)))
    assert isinstance(target.scalars["ECS"], SplitNormal)
    assert len(target) == 2
    with pytest.raises(InvalidValue, match="has `ECS` already"):
        target.add_range("ar6:ecs")
    with pytest.raises(InvalidValue, match="log_density"):
        target.add_scalar("x", 3.0)
    with pytest.raises(InvalidValue, match="one of `TCR`"):
        target.add_scalar("ECS", "ar6:tcr")
    with pytest.raises(UnknownName):
        target.add_range("ar6:albedo")


def test_a_copy_keeps_what_it_was():
    target = Target().add_variable("T", YEARS, VALUES, 0.1)
    before = target.copy()
    target.add_range("ar6:ecs").with_reference_period(1850, 1852)
    assert len(before) == 11
    assert before["T"].reference is None
    with pytest.raises(InvalidValue, match="has `T` already"):
        before.add_variable("T", YEARS, VALUES, 0.1)
    with pytest.raises(UnknownName, match="has no `Q`"):
        _ = before["Q"]


def test_values_one_by_one():
    target = Target().add_observation("T", 2001, 2.0, 0.2).add_observation("T", 2000, 1.0, 0.1)
    target.add_observation_relative("Q", 2000, -4.0, 0.5)
    np.testing.assert_array_equal(target["T"].values, [1.0, 2.0])
    np.testing.assert_array_equal(target["T"].uncertainties, [0.1, 0.2])
    assert target["Q"].uncertainties[0] == 2.0


def test_series_that_come_with_the_package():
    target = Target().add_observed("gmst:hadcrut5", until=2000).add_observed("ohc:igcc2024")
    assert target["Surface Temperature"].times[-1] == 2000
    assert target["Ocean Heat Content"].times[0] == 1971
