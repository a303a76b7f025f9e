"""Faults inside the passes of a fit: what is done about each, under which name, and what the result says."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import pytest

import xpcs_sets as sets
from campaign_xpcs.api import fitting
from campaign_xpcs.api.inputs import request
from campaign_xpcs.api.nlsq import problem_of
from campaign_xpcs.data.maps import two_time_maps
from campaign_xpcs.model.two_time import TwoTimeProblem

HELD = {"D_offset": 100.0, "gamma_dot_t_offset": 1e-4}  # so few frames do not tell them
START = {name: value for name, value in sets.NEAR.items() if name not in HELD}
READS: list[str] = []  # what becomes of the next looks at a row block


class Faulty(TwoTimeProblem):
    """The model, whose row blocks go wrong as `READS` says."""

    def linear_columns(self, theta, start, size):
        def look(_):
            what = READS.pop(0) if READS else "good"
            if what == "memory":
                raise MemoryError("no room for a row block")
            return np.float64(np.nan if what == "nan" else 0.0)

        nothing = jax.pure_callback(look, jax.ShapeDtypeStruct((), float), start, vmap_method="sequential")
        columns, rest = super().linear_columns(theta, start, size)
        return columns, rest + nothing


def faulty(problem: TwoTimeProblem) -> Faulty:
    return Faulty(**{field.name: getattr(problem, field.name) for field in dataclasses.fields(problem)})


def asked(held=HELD, **nlsq):
    config = {
        "analysis_mode": "laminar_flow",
        "model": {"shear_model": "homodyne-compat"},
        "initial_parameters": {"values": dict(sets.NEAR), "fixed_parameters": held},
        "optimization": {"nlsq": {"target_chunk_size": 300, **nlsq}},
    }
    return request(two_time_maps(**sets.make(3, 24)), config, {}, None)


@pytest.fixture(scope="module")
def good():
    own = asked(use_adapter=False)
    return fitting.fitted(own, problem_of(own)[0], START)


CASES = {  # row blocks (3 a pass), cached path, actions, words in the first attempt, whether it falls back
    "NaN in the first pass": (["good"] * 3 + ["nan"], False, ["damped_restart"], "", False),
    "NaN at a trial point": (["good"] * 7 + ["nan"], False, [], "", False),
    "NaN every time": (["nan"] * 500, False, ["damped_restart", "multistart"], "", False),
    "no memory, in chunks": (["good"] * 4 + ["memory"], False, ["damped_restart"], "MemoryError", False),
    "no memory, all at once": (["memory"], True, [], "", True),
}


@pytest.mark.parametrize("case", CASES)
def test_a_fault_in_a_pass(case, good):
    reads, adapter, actions, words, falls_back = CASES[case]
    own = asked(use_adapter=adapter)
    READS[:] = reads
    try:
        found = fitting.fitted(own, faulty(problem_of(own)[0]), START)
    finally:
        READS.clear()
    device = found.device_info
    assert device["recovery_actions"] == actions
    assert len(device["attempts"]) == 1 + len(actions)
    assert words in device["attempts"][0]["message"]
    assert device["fallback_occurred"] is falls_back
    if falls_back:
        assert "no room for a row block" in device["fallback_reason"]
        assert device["adapter"] == "NLSQWrapper"
    if case == "NaN every time":
        assert (found.success, found.convergence_status, found.quality_flag) == (False, "failed", "poor")
        assert not np.isfinite(found.chi_squared)
        return
    assert (found.success, found.convergence_status) == (True, "converged")
    assert found.chi_squared == pytest.approx(good.chi_squared, rel=1e-8)
    for name, error in good.errors.items():
        assert abs(found.values[name] - good.values[name]) < 1e-4 * error


def test_a_singular_jacobian_is_no_failure_and_is_flagged():
    """At α = 0 only D0 + D_offset is known: both have no error, all else has one, and the flag is not good."""
    own = asked(held={"alpha": 0.0, "gamma_dot_t_offset": 1e-4}, use_adapter=False)
    start = {name: value for name, value in sets.NEAR.items() if name not in ("alpha", "gamma_dot_t_offset")}
    found = fitting.fitted(own, problem_of(own)[0], start)
    assert found.device_info["recovery_actions"] == []
    assert np.isnan([found.errors["D0"], found.errors["D_offset"]]).all()
    assert np.isfinite([found.errors[name] for name in ("gamma_dot_t0", "beta", "phi0")]).all()
    assert found.quality_flag != "good"
    assert np.isfinite(found.chi_squared)
