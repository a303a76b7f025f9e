"""`diagnostics`: of which runs every array is recorded, while they run or by running failed ones once more."""

from __future__ import annotations

import json

import numpy as np
import pytest

import campaign
import recording_engine
from campaign.cli.main import run
from campaign.reduce.schema import comparable
from campaign.store import plan as plans
from campaign.store.events import read_events

DETAILS = {"grad", "lr", "block_grad_norm"}


@pytest.fixture(autouse=True)
def engine(monkeypatch, tmp_path):
    recording_engine.install(monkeypatch)
    monkeypatch.chdir(tmp_path)


def submitted(folder, trace, *, name="r", rates=(0.5, 0.6, 0.7, 0.8, 0.9), code=0):
    (folder / "star.py").write_text(recording_engine.PROBLEM)
    manifest = {
        "schema": "campaign/1", "name": "t", "problem": {"name": "star.py:star"}, "engine": {"name": "slide"},
        "expand": {"grid": {"engine.base_lr": list(rates)}}, "trace": trace, "block": 2,
        "execution": {"executor": "inline", "max_failures": "unlimited"},
    }  # fmt: skip
    (folder / f"{name}.json").write_text(json.dumps(manifest))
    assert run(["submit", str(folder / f"{name}.json"), "-d", str(folder / name), "-q"]) == code
    return campaign.open(folder / name)


def detailed(handle):
    """Rows of the runs that have numbers in every detail; each run has all of them or none."""
    found = []
    for run_id, row in zip(handle.table()["run_id"], handle.table()["row"], strict=True):
        trace = handle.trace(run_id)
        has = [name in trace and bool(np.isfinite(trace[name].values).all()) for name in sorted(DETAILS)]
        assert len(set(has)) == 1
        assert np.isfinite(trace["loss"].values).all()
        found += [int(row)] if all(has) else []
    return sorted(found)


@pytest.mark.parametrize(("diagnostics", "rows"), [("first", [0]), (2, [0, 2, 4]), ("all", [0, 1, 2, 3, 4])])
def test_every_array_of_some_runs(tmp_path, diagnostics, rows):
    assert detailed(submitted(tmp_path, {"diagnostics": diagnostics})) == rows


@pytest.mark.parametrize("diagnostics", ["none", "failed"])
def test_details_of_no_run_take_no_place(tmp_path, diagnostics):
    handle = submitted(tmp_path, {"diagnostics": diagnostics})
    assert detailed(handle) == []
    assert not DETAILS & set(handle.trace("last").variables)


def test_nothing_but_the_details_of_the_first_run(tmp_path):
    handle = submitted(tmp_path, {"fields": [], "diagnostics": "first"})
    table = handle.table().set_index("row")
    first, second = (handle.trace(table.loc[row, "run_id"]) for row in (0, 1))
    assert np.isfinite(first["theta"].values).all()
    assert np.isfinite(first["curvature"].values).all()
    assert np.isnan(second["theta"].values).all()
    assert np.isnan(second["curvature"].values).all()


def test_a_failed_run_fails_again_bit_for_bit_with_everything_recorded(tmp_path):
    rates = (0.5, 40.0, 0.7, 60.0)
    plain = submitted(tmp_path, {"fields": ["loss"]}, name="plain", rates=rates, code=4)
    handle = submitted(tmp_path, {"fields": ["loss"], "diagnostics": "failed"}, name="own", rates=rates, code=4)
    one, other = plain.table(), handle.table()
    places = ["program", "part", "block", "row"]
    assert comparable(plain.arrow()).drop_columns(places).equals(comparable(handle.arrow()).drop_columns(places))
    failed = other[other["status"] == "failed"]
    assert failed["engine.base_lr"].tolist() == [40.0, 60.0]
    assert failed["attempt"].tolist() == [0, 0]
    for run_id in failed["run_id"]:
        trace = handle.trace(run_id)
        assert set(trace.variables) >= {*DETAILS, "theta", "step_norm"}
        assert np.isfinite(trace["grad"].values).all()
        np.testing.assert_array_equal(trace["loss"].values, plain.trace(run_id)["loss"].values)
    for run_id in one[one["status"] == "ok"]["run_id"]:
        assert "grad" not in handle.trace(run_id)
    assert [event["n_runs"] for event in read_events(handle.layout) if event["event"] == "diagnosed"] == [2]


def test_it_happens_once_and_also_after_the_fact(tmp_path):
    handle = submitted(tmp_path, {"fields": ["loss"]}, rates=(0.5, 40.0), code=4)
    submitted(tmp_path, {"fields": ["loss"], "diagnostics": "failed"}, rates=(0.5, 40.0), code=4)
    assert list(plans.parts(handle.layout, "main")) == [0, 1]
    assert run(["resume", str(handle.layout.root), "-q"]) == 4
    assert list(plans.parts(handle.layout, "main")) == [0, 1]
    failed = handle.runs(state="failed")["run_id"].iloc[0]
    assert handle.trace(failed)["grad"].dims == ("step", "parameter")


def test_a_replay_has_everything(tmp_path):
    handle = submitted(tmp_path, {"fields": ["loss"]}, rates=(0.5,))
    again = campaign.replay(handle.layout.root, "last")
    assert set(again.trace) >= {*DETAILS, "loss", "theta"}
    np.testing.assert_array_equal(again.trace["loss"], handle.trace("last")["loss"].values)


def test_the_truth_is_in_the_table_with_the_differences(tmp_path):
    handle = submitted(tmp_path, True)
    table = handle.table()
    for name, value in zip(("separation_as", "contrast", "zernike_nm[1]"), (10.0, 3.0, -2.0), strict=True):
        assert (table[f"truth.{name}"] == value).all()
        assert (table[f"init_delta.{name}"] == -value).all()
        np.testing.assert_array_equal(table[f"final_delta.{name}"], table[f"theta.{name}"] - value)
    assert table.attrs["units"]["truth.separation_as"] == "as"
    assert table.attrs["units"]["final_delta.zernike_nm[1]"] == "nm"
