"""What runs of `pgd` leave behind: in the campaign and as plain files. A-… are rows of the specification."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

import campaign
from campaign.cli.main import run
from campaign.engines.rates import Guards, Rule, rates
from campaign.export.save import save_run

STEPS = (101, 201)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Runs of 20 parameters that use all of their steps, two blocks of each program, and one run of each as files."""
    folder = tmp_path_factory.mktemp("artifacts")
    manifest = {
        "schema": "campaign/1", "name": "t", "problem": {"name": "gaussian", "d": 20, "correlation": 0.9}, "block": 2,
        "engine": {"name": "pgd", "tol": 0.0, "ftol": 0.0, "patience": 500, "momentum": 0.0, "power": 0.5},
        "expand": {"grid": {"engine.max_steps": list(STEPS), "start.x0": [0.5, 1.0, 1.5, 2.0]}},
        "trace": {"fields": ["loss", "theta", "grad", "grad_norm", "step_norm", "base_lr", "accepted"]},
        "execution": {"executor": "inline", "layout": "packed", "max_failures": "unlimited"},
    }  # fmt: skip
    (folder / "m.json").write_text(json.dumps(manifest))
    run(["submit", str(folder / "m.json"), "-d", str(folder / "r"), "-q"])
    table = campaign.open(folder / "r").table()
    chosen = {n: str(table["run_id"][table["n_steps"] == n].iloc[0]) for n in STEPS}
    for n, one in chosen.items():
        save_run(folder / "r", one, folder / str(n), artifacts=["all"], every=n // 10)
    return folder


def test_as_many_lines_and_gradients_as_asked_for(results):
    """A-06: 101 steps, every 10th, are 11 lines, the first and the last among them. A-07: no more for longer runs."""
    lines = campaign.load_steps(results / "101").lines
    assert [line["step"] for line in lines] == list(range(0, 101, 10))
    grads = [campaign.load_grads(results / str(n)) for n in STEPS]
    assert [len(one["steps"]) for one in grads] == [11, 11]
    assert [one["grad"].shape for one in grads] == [(11, 20), (11, 20)]
    sizes = [(results / str(n) / "grads.npz").stat().st_size for n in STEPS]
    assert sizes[1] < 1.1 * sizes[0]
    trace = campaign.load_trace(results / "101")
    np.testing.assert_allclose(np.linalg.norm(grads[0]["grad"], axis=1), trace["grad_norm"][::10], rtol=1e-13)


def test_a_trace_is_small_and_exact(results):
    """A-03."""
    assert (results / "201" / "trace.npz").stat().st_size < 50_000
    trace, kept = campaign.load_trace(results / "201"), campaign.open(results / "r")
    run_id = campaign.load_summary(results / "201")["run_id"]
    for name in ("loss", "theta", "grad_norm", "accepted"):
        np.testing.assert_array_equal(trace[name], kept.trace(run_id)[name].values)


def test_the_rates_follow_from_the_files(results):
    """A-09, A-10, bit for bit: from curvature.npz and meta.json to precond.npz. A-13: they are those that were used."""
    curvature, precond = campaign.load_curvature(results / "101"), campaign.load_precond(results / "101")
    optimizer = campaign.load_meta(results / "101")["optimizer"]
    rule = Rule(power=optimizer["options"]["power"], floor_rel=optimizer["options"]["floor_rel"])
    guards = Guards(np.ones(20), np.zeros(20), np.full(20, np.inf))
    again = rates(curvature["curv_diag"], curvature["scale"], optimizer["base_lr"], guards, rule, xp=np)
    np.testing.assert_array_equal(again.lr_vec, precond["lr_vec"])
    np.testing.assert_array_equal(again.precond, precond["precond"])
    np.testing.assert_allclose(precond["lr_vec"] / optimizer["base_lr"], precond["lr_scale"], rtol=1e-15)
    np.testing.assert_array_equal(again.floored, precond["floored_mask"])
    trace, grads = campaign.load_trace(results / "101"), campaign.load_grads(results / "101")
    np.testing.assert_array_equal(trace["theta"][1], trace["theta"][0] - precond["lr_vec"] * grads["grad"][0])


def test_checkpoints_hold_their_own_loss(results):
    """A-11, by NumPy."""
    sd = np.arange(1.0, 21.0)
    covariance = np.outer(sd, sd) * 0.9 ** np.abs(np.subtract.outer(np.arange(20), np.arange(20)))
    for which in ("best", "final"):
        found = campaign.load_checkpoint(results / "101", which)
        away = found.theta - 1.0
        assert found.loss == pytest.approx(0.5 * away @ np.linalg.solve(covariance, away), rel=1e-10)


def test_files_go_with_blocks_and_arrays_and_not_with_runs(results):
    """A-12: of each block a file of summaries, one of each array, and one more of each 50 steps; of each run none."""
    root = results / "r"
    assert len(list((root / "summaries").rglob("*.jsonl"))) == 4
    assert not (root / "runs").exists()
    table = campaign.open(root).table()
    for n in STEPS:
        program = table["program"][table["n_steps"] == n].iloc[0]
        group = root / "traces.zarr" / "main" / program
        files = {one.name: sum(p.is_file() for p in (one / "c").rglob("*")) for one in group.iterdir() if one.is_dir()}
        shared = {"run_id", "parameter", "parameter_unit"}
        over_steps = {"loss", "theta", "grad", "grad_norm", "step_norm", "base_lr", "accepted"}
        assert files.keys() >= over_steps | shared
        for name, found in files.items():
            expected = 2 * math.ceil(n / 50) if name in over_steps else 1 if name in shared else 2
            assert found == expected, name
