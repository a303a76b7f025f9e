"""Rates and curvature of a finished run, used again: from the campaign through `campaign export` into another stage."""

from __future__ import annotations

import hashlib
import json
import subprocess

import numpy as np
import pytest

import campaign
from campaign.cli.main import run
from campaign.export.save import save_run

START = {"amplitude": 2.1, "rate": 0.75, "offset": 0.45, "drift": 0.03}
REFRESHED = {"name": "pgd", "refresh_every": 2, "max_steps": 8, "tol": 0.0, "ftol": 0.0}


def submitted(folder, *stages, name="r", code=0):
    own = [
        {"name": f"s{i}", "problem": problem, "start": start, "engine": engine}
        for i, (problem, start, engine) in enumerate(stages)
    ]
    manifest = {"schema": "campaign/1", "name": "t", "stages": own, "execution": {"executor": "inline"}}
    (folder / f"{name}.json").write_text(json.dumps(manifest))
    assert run(["submit", str(folder / f"{name}.json"), "-d", str(folder / name), "-q"]) == code
    return folder / name


def traces(directory):
    handle = campaign.open(directory)
    table = handle.table()
    return {stage: handle.trace(one) for stage, one in zip(table["stage"], table["run_id"], strict=True)}


@pytest.fixture
def first(tmp_path):
    """A campaign of one fit, and the folder beside its manifest that its run was exported to."""
    own = ({"name": "decay"}, START, {"name": "pgd"})
    save_run(submitted(tmp_path, own), "last", tmp_path / "fit", artifacts=["precond", "curvature"])
    return own, tmp_path


@pytest.mark.parametrize(
    "engine", [{"lr_vec": "fit/precond.npz"}, {"curvature": "user", "user_curvature": "fit/curvature.npz"}]
)
def test_a_later_stage_takes_the_exported_file_and_repeats_the_trajectory(first, engine):
    """The stage is added to the same campaign; its run is the same one bit for bit."""
    own, folder = first
    kept = traces(submitted(folder, own, (own[0], START, {"name": "pgd", **engine})))
    assert len(kept["s0"]["loss"]) > 5
    np.testing.assert_array_equal(kept["s1"]["lr_vec"], kept["s0"]["lr_vec"])
    np.testing.assert_array_equal(kept["s1"]["theta"], kept["s0"]["theta"])


def test_rates_of_another_layout_are_refused_before_anything_is_evaluated(first, capsys):
    _, folder = first
    fixed = ({"name": "decay", "free": ["amplitude", "rate"]}, START, {"name": "pgd", "lr_vec": "fit/precond.npz"})
    submitted(folder, fixed, name="other", code=3)
    said = capsys.readouterr().err
    assert "`lr_vec` is of the parameters amplitude, rate, offset, drift, the run's are amplitude, rate" in said


def test_the_files_hold_names_and_no_places_of_refreshes_that_were_not(tmp_path):
    """Also of an engine that worked in modes, whose rates belong to modes."""
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    who = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *who, "commit", "-q", "--allow-empty", "-m", "a"], cwd=tmp_path, check=True)
    modes = {**REFRESHED, "theta_map": {}}
    own = submitted(tmp_path, ({"name": "decay"}, START, REFRESHED), ({"name": "decay"}, START, modes))
    expected = (list(START), [f"z[{i}]" for i in range(4)])
    for one, names in zip(campaign.open(own).table()["run_id"], expected, strict=True):
        save_run(own, one, tmp_path / one, artifacts=["precond", "curvature"])
        curvature, precond = campaign.load_curvature(tmp_path / one), campaign.load_precond(tmp_path / one)
        assert curvature["refresh_steps"].tolist() == [2, 4, 6]
        assert curvature["curv_history"].shape == (3, 4)
        np.testing.assert_array_equal(curvature["curv_history"][-1], curvature["curv_diag"])
        assert curvature["parameter"].tolist() == precond["parameter"].tolist() == names
        assert precond["lr_vec"].shape == (4,)
    meta, trace = campaign.load_meta(tmp_path / one), campaign.load_trace(tmp_path / one)
    assert meta["git"]["dirty"] is False
    assert len(meta["git"]["commit"]) == 40
    assert (meta["objective"]["noise_model"], meta["objective"]["reduce"]) == ("gaussian", "sum")
    assert meta["optimizer"]["base_lr_source"] == "auto"
    assert meta["theta"]["theta_space"] == "eigen"
    assert meta["theta"]["whiten"] is True
    assert meta["theta"]["primitive_index_map"] == meta["theta"]["index_map"]
    own = trace["theta_ref"].tobytes() + trace["theta_map"].tobytes()
    assert meta["theta"]["theta_map_hash"] == hashlib.sha256(own).hexdigest()
    np.testing.assert_array_equal(campaign.rerun(tmp_path / one).trace["theta"], trace["theta"])
