"""Options of the descent engines: what contradicts itself is refused when it is read."""

import pytest
from pydantic import ValidationError

from campaign.engines.catalogue_descent import GdOptions, PgdOptions, check_descent
from campaign.errors import InvalidValue, UnknownName
from campaign.manifest.options import data_files, varying_options
from campaign.space import Parameter, ThetaSpace

SPACE = ThetaSpace(tuple(Parameter(name=name, initial=1.0) for name in ("x", "y", "z")))


@pytest.mark.parametrize(
    "options",
    [
        {"base_lr": 0.0},
        {"base_lr": "fast"},
        {"curvature": ["gn_diag", "fim_diag"]},
        {"curvature": ["gn_diag", "ema_grad2"]},
        {"curvature": "user"},
        {"user_curvature": {"x": 1.0}},
        {"precond": "inverse-sqrt", "power": 1.0},
        {"precond": "inverse-sqrt", "eps": 1e-6},
        {"lr_vec": {"x": 1.0}, "power": 1.0},
        {"clip": [2.0, 1.0]},
        {"blocks": {"a": ["x"], "b": ["x"]}},
        {"blocks": {"other": ["x"]}},
        {"schedule": {"schedule": "sometimes"}},
        {"theta_map": {"truncate": 2, "min_eigenvalue": 1.0}},
    ],
)
def test_options_that_contradict_themselves(options):
    with pytest.raises(ValidationError):
        PgdOptions(**options)


@pytest.mark.parametrize("options", [{"lr_vec": "rates.csv"}, {"precond": "inverse-sqrt"}, {"theta_map": {}}])
def test_options_that_are_all_written_out_are_those_that_were_given(options):
    """As a plan holds them."""
    given = PgdOptions(**options)
    assert PgdOptions(**given.model_dump()) == given


def test_the_power_follows_from_the_source():
    assert PgdOptions().exponent == PgdOptions(curvature="empirical_fisher").exponent == 1.0
    assert PgdOptions(curvature="ema_grad2").exponent == PgdOptions(precond="inverse-sqrt").exponent == 0.5
    assert PgdOptions().added == 0.0
    assert PgdOptions(precond="inverse-sqrt").added == PgdOptions(floor_rel=0.0).added == 1e-8


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"blocks": {"a": ["w"]}}, UnknownName),
        ({"blocks": {"a": [3]}}, InvalidValue),
        ({"blocks": {"a": ["x"]}, "block_scale": {"b": 1.0}}, UnknownName),
        ({"blocks": {"a": ["x"]}, "clip": {"b": [0.0, 1.0]}}, UnknownName),
        ({"lr_vec": {"x": 1.0, "z": 1.0, "y": 1.0}}, InvalidValue),
    ],
)
def test_what_does_not_fit_the_parameters_is_found_before_anything_runs(options, error):
    with pytest.raises(error):
        check_descent(PgdOptions(**options), SPACE)
    check_descent(PgdOptions(blocks={"a": ["x", 2]}, block_scale={"a": 2.0, "other": 1.0}), SPACE)
    check_descent(PgdOptions(lr_vec={"z[0]": 1.0, "z[1]": 1.0}, theta_map={"truncate": 2}), SPACE)


def test_rates_may_differ_inside_a_program():
    assert {"base_lr", "momentum", "tol"} <= varying_options(PgdOptions)
    assert "base_lr" in varying_options(GdOptions)
    assert not {"power", "max_step", "curvature"} & varying_options(PgdOptions)


def test_a_file_of_rates_is_a_file_that_is_kept():
    assert data_files(PgdOptions(lr_vec="rates.csv")) == ("rates.csv",)
    assert data_files(PgdOptions(lr_vec={"x": 1.0})) == ()
