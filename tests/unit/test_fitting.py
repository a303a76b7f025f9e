"""Fits in this process are the runs that a campaign plans: the same ids, starts and failures."""

from __future__ import annotations

import numpy as np
import pytest

import campaign
from campaign.errors import UnknownName
from campaign.fitting import fits
from campaign.schedule.check import open_document
from campaign.schedule.planning import plan_stage

RATES = [0.5, 1.0, 2.0]


def planned_ids(**changes) -> list[str]:
    document = {
        "schema": "campaign/1",
        "name": "t",
        "seed": 4,
        "problem": {"name": "decay", "n": 5},
        "engine": {"name": "evaluate"},
        "expand": {"grid": {"start.rate": RATES}},
    }
    return plan_stage(open_document(document | changes), "main").rows.column("run_id").to_pylist()


def test_ids_are_those_of_a_campaign():
    found = fits("decay", "evaluate", [{"rate": rate} for rate in RATES], seed=4, options={"n": 5})
    assert [one.run_id for one in found] == planned_ids()
    assert [one.theta["rate"] for one in found] == RATES
    assert {one.outcome for one in found} == {"converged"}


def test_what_a_run_computes_is_in_its_id():
    plain = fits("decay", "evaluate", [{"rate": 0.5}], seed=4, options={"n": 5})[0].run_id
    others = [
        fits("decay", "evaluate", [{"rate": 0.5}], seed=5, options={"n": 5})[0].run_id,
        fits("decay", "evaluate", [{"rate": 0.5}], seed=4, options={"n": 6})[0].run_id,
        fits("decay", "evaluate", [{"rate": 0.25}], seed=4, options={"n": 5})[0].run_id,
        fits("decay", "evaluate", [{"rate": 0.5}], seed=4, options={"n": 5}, precision="float32")[0].run_id,
    ]
    assert len({plain, *others}) == 5


def test_the_model_is_evaluated_where_the_start_says():
    """y = A exp(−k t) of the problem's documentation, at the start."""
    (found,) = fits("decay", "evaluate", [{"rate": 2.0, "amplitude": 3.0}], options={"n": 5})
    (other,) = fits("decay", "evaluate", [{"rate": 2.0, "amplitude": 6.0}], options={"n": 5})
    name = next(iter(found.arrays))
    offset = found.arrays[name][-1] * 2 - other.arrays[name][-1]  # what does not depend on the amplitude
    np.testing.assert_allclose(other.arrays[name] - found.arrays[name], found.arrays[name] - offset, atol=1e-9)


def test_nothing_to_run_and_what_cannot_be_run():
    assert fits("decay", "evaluate", []) == []
    with pytest.raises(UnknownName, match="deccay"):
        campaign.fit("deccay")
