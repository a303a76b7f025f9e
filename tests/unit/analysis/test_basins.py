"""Basins: distances in errors, ties, rivals, bounds."""

import numpy as np
import pytest

from campaign.analysis.basins import Ended, basins_of, mahalanobis
from campaign.errors import InvalidValue

RHO = np.array([[1.0, 0.99], [0.99, 1.0]])


def fit(name, theta, chi2, covariance=RHO, unit=1.0, settled=True, held=(False, False)):
    return Ended(
        run_id=name,
        theta=np.array(theta, float),
        covariance=np.array(covariance, float),
        chi2=chi2,
        unit=unit,
        is_settled=settled,
        held=np.array(held),
    )


def test_distance_is_in_pooled_errors_with_their_correlation():
    a, b = fit("a", (0, 0), 1.0), fit("b", (1, 1), 1.0, 3.0 * RHO)
    pooled = 2.0 * RHO
    expected = np.sqrt(np.ones(2) @ np.linalg.inv(pooled) @ np.ones(2))
    assert mahalanobis(a, b) == pytest.approx(expected, rel=1e-12)
    assert mahalanobis(fit("a", (0, 0), 1.0), fit("b", (1, -1), 1.0)) == pytest.approx(np.sqrt(2 / 0.01), rel=1e-10)


def test_directions_without_information_do_not_count():
    flat = np.outer((1.0, 2.0), (1.0, 2.0))  # one direction is known exactly, to rounding: no distance along it
    assert mahalanobis(fit("a", (0, 0), 1, flat), fit("b", (1, 2), 1, flat)) == pytest.approx(1.0)
    unknown = np.array([[4.0, np.nan], [np.nan, np.nan]])
    assert mahalanobis(fit("a", (0, 0), 1, unknown), fit("b", (2, 1e9), 1, unknown)) == pytest.approx(1.0)
    assert mahalanobis(fit("a", (0, 0), 1, unknown), fit("b", (0, 3), 1, np.eye(2))) == pytest.approx(3.0)


def test_bounds_that_hold_a_parameter_at_different_values_are_apart():
    at = np.array([[1.0, np.nan], [np.nan, np.nan]])
    low, high = (fit(n, (0, v), 1, at, held=(False, True)) for n, v in (("low", 0.0), ("high", 5.0)))
    assert mahalanobis(low, high) == np.inf
    assert mahalanobis(low, low) == 0.0
    nothing = np.full((2, 2), np.nan)
    assert mahalanobis(fit("a", (0, 0), 1, nothing), fit("b", (0, 1), 1, nothing)) == np.inf


def test_two_minima_are_two_basins_and_ties_are_one():
    fits = [fit(f"r{k}", (3 + 1e-4 * k, 3), 10.0) for k in range(4)]
    fits += [fit(f"l{k}", (-3, -3 - 1e-4 * k), 14.0 + 1e-6 * k) for k in range(3)]
    found = basins_of(fits, ("x", "y"))
    assert [len(basin.members) for basin in found.found] == [4, 3]
    assert found.found[1].members == ("l0", "l1", "l2")
    assert found.found[1].delta_chi2 == pytest.approx(4.0)
    assert found.found[0].theta == {"x": 3.0, "y": 3.0}
    assert found.found[0].stderr == {"x": 1.0, "y": 1.0}
    assert (found.rivals, found.is_degenerate) == ((0, 1), True)
    assert basins_of(fits, ("x", "y"), choice=3.0).rivals == ()
    assert len(basins_of(fits, ("x", "y"), distance=100.0, same=5.0).found) == 1
    assert basins_of(list(reversed(fits)), ("x", "y")).found[0].chi2 == 10.0


def test_one_place_with_another_chi2_is_not_one_minimum():
    found = basins_of([fit("a", (0, 0), 1.0), fit("b", (0, 0), 9.0)], ("x", "y"))
    assert len(found.found) == 2
    assert found.rivals == ()
    assert len(basins_of([fit("a", (0, 0), 1.0, unit=100.0), fit("b", (0, 0), 9.0)], ("x", "y")).found) == 1


def test_only_what_has_converged_makes_a_basin():
    fits = [
        fit("a", (0, 0), 5.0),
        fit("near", (0.1, 0.1), 5.5, settled=False),
        fit("far", (50, 0), 7.0, settled=False),
        fit("lower", (90, 0), -20.0, settled=False),
        fit("nothing", (0, 0), np.nan),
    ]
    found = basins_of(fits, ("x", "y"))
    assert [basin.members for basin in found.found] == [("a", "near")]
    assert set(found.unsettled) == {"far", "lower", "nothing"}
    assert any("lower than every basin" in remark for remark in found.remarks)
    assert basins_of([], ("x",)).found == ()


def test_what_has_no_error_is_named():
    at = np.array([[1.0, np.nan], [np.nan, np.nan]])
    assert basins_of([fit("a", (0, 0), 5.0, at)], ("x", "y")).remarks == (
        "without error in the best basin, so not compared: y",
    )


def test_thresholds_are_not_negative():
    with pytest.raises(InvalidValue, match="`same` is -1"):
        basins_of([], (), same=-1.0)


def test_the_command_has_the_thresholds_of_the_function():
    from campaign.analysis.basins import CHOICE, DISTANCE, SAME
    from campaign.cli.basins import command

    assert [p.default for p in command.params if p.name in ("distance", "same", "choice")] == [DISTANCE, SAME, CHOICE]
