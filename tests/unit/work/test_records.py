"""The columns of runs' records: numbers that follow from chi2 (against scipy), names of what is remarkable, padding."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from campaign.engines.base import Outcome, Result
from campaign.engines.loop import Finished
from campaign.registry import ENGINES, PROBLEMS, load
from campaign.store.lines import Same, records_of
from campaign.work.building import build_block
from campaign.work.group import Group
from campaign.work.recipe import Recipe
from campaign.work.records import (
    _degenerate,
    _outcomes,
    _without_freedom,
    are_failed,
    block_metrics,
    failed_columns,
    fit_statistics,
    group_columns,
)


def test_statistics_of_a_fit() -> None:
    found = fit_statistics(np.array([14.731138579]), np.array([16.0]), np.array([3.0]))
    assert found["dof"][0] == 13
    assert found["aic"][0] == pytest.approx(20.731138579, rel=1e-12)
    assert found["bic"][0] == pytest.approx(14.731138579 + 3 * np.log(16), rel=1e-12)
    assert found["p_value"][0] == pytest.approx(stats.chi2.sf(14.731138579, 13), rel=1e-12)
    assert found["reduced_chi2"][0] == pytest.approx(14.731138579 / 13, rel=1e-12)


@pytest.mark.parametrize("n_data", [3.0, 2.0])
def test_no_degrees_of_freedom_give_no_p_value(n_data: float) -> None:
    found = fit_statistics(np.array([1.0]), np.array([n_data]), np.array([3.0]))
    assert found["dof"][0] == n_data - 3
    assert np.isnan(found["p_value"][0])
    assert np.isnan(found["reduced_chi2"][0])


def finished(n: int, outcome: list[int], **changes) -> Finished:
    """What the loop gives of `n` lanes of `decay`, whose free parameters are rate and offset."""
    lanes = len(outcome)
    known = {
        "theta": np.tile([0.5, -1.0], (lanes, 1)), "stderr": None, "loss": np.arange(lanes) / 2,
        "loss_initial": np.full(lanes, 9.0), "n_evaluations": np.full(lanes, 3), "at_bound": np.zeros((lanes, 2), int),
        "unidentified": np.zeros((lanes, 2), bool), "metrics": {}, "arrays": {},
    }  # fmt: skip
    derived, judged = changes.pop("derived", {}), changes.pop("judged", {})
    result = Result(**{**known, **changes})  # pyright: ignore[reportArgumentType]
    steps = 10 * np.arange(lanes)
    return Finished(result, derived, judged, steps, np.array(outcome), None)  # pyright: ignore[reportArgumentType]


def group(n: int, engine: str = "trf", **options) -> Group:
    recipe = Recipe(
        problem=load(PROBLEMS, "decay"), engine=load(ENGINES, engine), problem_options={"n": 5}, engine_options=options,
        start={"amplitude": 7.0}, scale={}, free=("rate", "offset"), seed=0, capacity=4,
    )  # fmt: skip
    (found,) = build_block(recipe, {}, [f"{i:032x}" for i in range(n)], strict=True).groups
    return found


DONE, BUDGET, NONFINITE = int(Outcome.CONVERGED), int(Outcome.BUDGET), int(Outcome.NONFINITE)


def columns(n: int, outcome: list[int], metrics=None, engine: str = "trf", **changes):
    return records_of(group_columns(finished(n, outcome, **changes), group(n, engine), metrics or {}), n)


def test_padding_leaves_no_records_and_fixed_parameters_keep_their_start():
    found = columns(2, [DONE, BUDGET, NONFINITE, NONFINITE])
    assert [record["status"] for record in found] == ["ok", "ok"]
    assert [record["outcome"] for record in found] == ["converged", "budget"]
    assert [record["n_steps"] for record in found] == [0, 10]
    assert [record["loss"] for record in found] == [0.0, 0.5]
    assert found[0]["theta"] == {"amplitude": 7.0, "rate": 0.5, "offset": -1.0, "drift": 0.0}
    assert found[0]["message"] is None
    assert found[1]["message"] == Outcome.BUDGET.message


def test_an_engine_without_errors_says_null_and_not_that_they_are_not_finite():
    (none,) = columns(1, [DONE] * 4)
    assert none["stderr"] == {"rate": None, "offset": None}
    assert none["nonfinite"] == []
    (some,) = columns(1, [DONE] * 4, stderr=np.tile([0.1, np.nan], (4, 1)))
    assert some["stderr"]["rate"] == 0.1
    assert some["nonfinite"] == ["stderr.offset"]


def test_each_run_names_its_own_bounds_and_what_is_not_finite():
    found = columns(
        3, [DONE] * 4, at_bound=np.array([[0, -1], [1, 0], [0, 0], [1, 1]]), unidentified=np.eye(4, 2, dtype=bool),
        loss=np.array([1.0, np.inf, 2.0, np.nan]), derived={"half_life": np.array([np.nan, 1.0, 1.0, np.nan])},
    )  # fmt: skip
    assert [record["bounds_reached"] for record in found] == [["offset:lower"], ["rate:upper"], []]
    assert [record["unidentified"] for record in found] == [["rate"], ["offset"], []]
    assert [record["nonfinite"] for record in found] == [["derived.half_life"], ["loss"], []]


def test_predictions_that_are_not_finite_are_named_and_the_arrays_of_the_engine_are_not():
    signal, covariance = np.ones((4, 5)), np.full((4, 2, 2), np.nan)
    signal[1, 3] = np.inf
    found = columns(2, [DONE] * 4, arrays={"signal": signal, "covariance": covariance})
    assert [record["nonfinite"] for record in found] == [[], ["predict.signal"]]


class Remarking:
    """An engine that remarks on the second and the third run."""

    def remarks(self, metrics):
        return ["", "mixes badly", "mixes badly"]

    def notes(self, metrics, names=()):
        return None


def test_a_run_that_did_its_steps_and_gets_a_remark_used_up_its_budget():
    codes = np.array([DONE, DONE, NONFINITE])
    outcome, texts = _outcomes(codes, Remarking(), {})  # pyright: ignore[reportArgumentType]
    assert outcome.tolist() == [DONE, BUDGET, NONFINITE]
    assert list(texts) == [None, "mixes badly", Outcome.NONFINITE.message]  # a failure has its own reason
    outcome, texts = _outcomes(np.array([BUDGET]), Remarking(), {})  # pyright: ignore[reportArgumentType]
    assert (outcome.tolist(), list(texts)) == ([BUDGET], [Outcome.BUDGET.message])


def test_a_result_of_another_model_is_degenerate_unless_the_run_has_failed():
    codes, meanings = np.array([DONE, DONE, BUDGET, NONFINITE, DONE]), {"low": "too low", "wide": "too wide"}
    derived = {"low": np.array([0.0, 0.25, 1.0, 1.0, np.nan]), "wide": np.array([0.0, 2.0, 0.0, 1.0, 0.0])}
    outcome, texts = _degenerate(codes, [None, "why", "steps", "gone", None], derived, meanings)
    said = Outcome.DEGENERATE.message
    assert outcome.tolist() == [DONE, Outcome.DEGENERATE, Outcome.DEGENERATE, NONFINITE, Outcome.DEGENERATE]
    assert list(texts) == [
        None,
        f"{said}: too low (derived.low = 0.25); too wide (derived.wide = 2); why",
        f"{said}: too low (derived.low = 1); steps",
        "gone",
        f"{said}: too low (derived.low = nan)",  # nothing shows that it is 0
    ]
    same = Same(None)
    assert _degenerate(codes, same, derived, {})[1] is same


@pytest.mark.parametrize(
    ("n_data", "absolute", "text"),
    [
        (3.0, True, None),
        (2.0, True, "no degrees of freedom: 2 data for 2 parameters"),
        (2.0, False, "no degrees of freedom: 2 data for 2 parameters, so no error is determined"),
        (1.0, True, "no degrees of freedom: 1 data for 2 parameters, so not all errors are determined"),
        (1.0, False, "no degrees of freedom: 1 data for 2 parameters, so no error is determined"),
    ],
)
def test_a_fit_without_freedom_says_so(n_data, absolute, text):
    metrics = {"n_data": np.array([n_data]), "dof": np.array([n_data - 2])}
    found = _without_freedom(Same(None), np.array([DONE]), metrics, absolute)
    assert (found.value if isinstance(found, Same) else found[0]) == text
    both = _without_freedom(["stalled"], np.array([DONE]), metrics, absolute)
    assert list(both) == [f"stalled; {text}" if text else "stalled"]
    failed = _without_freedom(["gone"], np.array([NONFINITE]), metrics, absolute)
    assert list(failed) == ["gone"]  # of a run that failed there is nothing to say


def test_chi2_is_a_statistic_where_the_errors_are_known():
    metrics = {"chi2": np.full(4, 3.0), "n_data": np.full(4, 5.0), "n_free": np.full(4, 2.0)}
    own = group(2)
    found = block_metrics(finished(2, [DONE] * 4, metrics=metrics, judged={"rhat": np.ones(4)}), own)
    assert own.batch.work.target.problem.absolute_sigma
    assert found.keys() == {"chi2", "n_data", "n_free", "rhat", "dof", "aic", "bic", "reduced_chi2", "p_value"}
    assert found["dof"].tolist() == [3.0] * 4
    part = block_metrics(finished(2, [DONE] * 4, metrics={"chi2": np.ones(4)}), own)
    assert part.keys() == {"chi2"}


def test_which_runs_failed_by_their_columns():
    assert are_failed({"status": Same("failed")}, 2).tolist() == [True, True]
    assert are_failed({"status": Same("ok")}, 2).tolist() == [False, False]
    assert are_failed({"status": ["ok", "failed"]}, 2).tolist() == [False, True]
    lost = records_of(failed_columns(["gone", "hung"], "lost"), 2)
    assert [record["message"] for record in lost] == ["gone", "hung"]
    assert {(record["status"], record["outcome"], record["loss"], record["n_steps"]) for record in lost} == {
        ("failed", "lost", None, 0)
    }
