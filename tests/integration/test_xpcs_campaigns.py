"""The campaigns of manifests/xpcs: what they plan, what reduced ones give, and a folder of files with a broken one."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas
import pytest
from click.testing import CliRunner

import campaign
from campaign.cli.main import run
from campaign.manifest.load import load
from campaign.schedule.planning import plan_stage
from campaign.science import InvalidValue, UnknownName
from campaign_xpcs import simulated_maps, wavevectors, write_hdf5
from campaign_xpcs.commands.xpcs import group

MANIFESTS = Path(__file__).resolve().parents[2] / "manifests" / "xpcs"
PAGE = Path(__file__).resolve().parents[2] / "docs" / "xpcs.md"
PHYSICS = ("D0", "alpha", "D_offset", "gamma_dot_t0", "beta", "gamma_dot_t_offset", "phi0")


def document(name):
    return json.loads((MANIFESTS / f"{name}.json").read_text())


def submitted(folder, content, code=0):
    path = folder / "manifest.json"
    path.write_text(json.dumps(content))
    assert run(["submit", str(path), "-d", str(folder / "r"), "--executor", "inline", "--quiet"]) == code
    return pandas.read_parquet(folder / "r" / "tables" / "summary.parquet")


@pytest.mark.parametrize(("name", "n_runs"), [("maps", 288), ("coverage", 500), ("consensus", 4)])
def test_what_the_manifests_plan(name, n_runs):
    manifest = load(MANIFESTS / f"{name}.json")
    part = plan_stage(manifest, manifest.stages[0])
    assert part.header["n_runs"] == n_runs
    assert len(part.header["programs"]) == 1


def test_the_folder_of_the_manual_is_planned_without_reading_a_file(tmp_path):
    """The manifest is the one that the manual shows, and runs: tests/integration/test_docs.py."""
    shown = re.search(r"```json file=folder.json\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert shown is not None
    assert json.loads(shown[1]) == document("folder")
    for name in ("rest.h5", "flow.h5", "torn.h5"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "folder.json").write_text(shown[1])
    manifest = load(tmp_path / "folder.json")
    part = plan_stage(manifest, manifest.stages[0])
    assert part.header["n_runs"] == 24
    assert len(part.header["programs"]) == 2


def coverage(folder, n):
    content = document("coverage")
    content["stages"][0]["expand"] = {"grid": {"problem.seed": {"range": [1, n + 1, 1]}}}
    rows = submitted(folder, content)
    assert (rows["outcome"] == "converged").all()
    assert (rows["derived.floored_D"] == 0).all()
    assert rows["bounds_reached"].str.len().max() == 0  # draws at a bound would have no error, and no coverage
    z = np.stack([rows[f"final_delta.{name}"] / rows[f"stderr.{name}"] for name in PHYSICS], axis=1)
    handle = campaign.open(folder / "r")
    squares = []
    for row in rows.to_dict("records"):
        trace = handle.trace(row["run_id"])
        names = [str(name) for name in trace["parameter"].values]
        at = [names.index(name) for name in PHYSICS]
        e = np.array([row[f"final_delta.{name}"] for name in PHYSICS])
        own = np.asarray(trace["covariance"])[np.ix_(at, at)]
        scale = np.sqrt(np.diag(own))
        squares.append((e / scale) @ np.linalg.solve(own / np.outer(scale, scale), e / scale))
    return float(np.mean(np.abs(z) < 1.0)), float(np.mean(squares))


def test_a_folder_of_files_where_one_is_broken(tmp_path):
    """3 files × 2 q × 2 windows × 2 modes; a file that is none fails in its own runs; D0(q) of the others is right."""
    truth = {"contrast": 0.3, "offset": 1.0, "D0": 2000.0, "alpha": -0.3, "D_offset": 100.0}
    angles = np.linspace(-180.0, 180.0, 5, endpoint=False)
    given = {"phi_deg": angles, "n_times": 30, "dt_s": 0.5, "sigma": 0.002, "mode": "static_isotropic"}
    qs = [0.008, 0.016]
    for number, name in enumerate(("a.h5", "b.h5")):
        write_hdf5(
            tmp_path / name, [simulated_maps(truth, q=q, seed=10 * number + iq, **given) for iq, q in enumerate(qs)]
        )
    (tmp_path / "bad.h5").write_text("torn")
    content = {
        "schema": "campaign/1",
        "name": "folder",
        "stages": [
            {
                "name": "fit",
                "problem": {
                    "name": "xpcs",
                    "mode": "static_isotropic",
                    "n_phi": 5,
                    "n_frames": 25,
                    "sigma": 0.002,
                    "gap": 2e6,
                    "fixed": ["D_offset"],
                    "values": {"D_offset": 100.0},
                },
                "engine": {"name": "varpro"},
                "expand": {
                    "grid": {
                        "problem.data": ["a.h5", "b.h5", "bad.h5"],
                        "problem.q_index": [0, 1],
                        "problem.first_frame": [1, 6],
                        "problem.mode": ["static_isotropic", "static_anisotropic"],
                    }
                },
            }
        ],
    }
    rows = submitted(tmp_path, content, code=4)
    assert len(rows) == 24
    broken = rows["axis.problem.data"] == "bad.h5" if "axis.problem.data" in rows else rows["problem.data"] == "bad.h5"
    assert (rows[broken]["status"] != "ok").all()
    assert (rows[~broken]["outcome"] == "converged").all()
    first = rows[~broken & (rows["problem.first_frame"] == 1)]
    off = (first["theta.D0"] - 2000.0) / first["stderr.D0"]
    assert (off.abs() < 4.0).all()
    table = first.groupby("problem.q_index")["theta.D0"].mean()
    assert table.loc[1] == pytest.approx(2000.0, rel=0.1)
    check_wavevectors(tmp_path)


def check_wavevectors(folder):
    """D0(q): a series a file, window and mode, with the truth in those that begin at 0; the broken file beside them."""
    found = wavevectors(folder / "r")
    assert (found.parameter, found.unit) == ("D0", "Å²/s^(1+α)")
    assert len(found.series) == 8
    assert {own.group["data"].rpartition("/")[2] for own in found.series} == {"a.h5", "b.h5"}
    for own in found.series:
        assert own.q.tolist() == [0.008, 0.016]
        weight = own.error**-2.0
        assert own.mean[0] == pytest.approx((own.value * weight).sum() / weight.sum(), rel=1e-12)
        if own.group["first_frame"] == 1:
            assert (np.abs(own.value - 2000.0) < 4.0 * own.error).all()
            assert own.p_value > 1e-4
    assert [one["data"].rpartition("/")[2] for one in found.left_out] == ["bad.h5"] * 8
    done = CliRunner().invoke(group, ["wavevectors", str(folder / "r"), "--plot", str(folder / "d0.png")])
    assert done.exit_code == 0, done.output
    assert "a.h5, first_frame 1, static_isotropic\n" in done.stdout
    assert done.stdout.count("runs are left out") == 1
    assert "8 runs are left out (data " in done.stdout
    assert (folder / "d0.png").read_bytes().startswith(b"\x89PNG")
    done = CliRunner().invoke(group, ["wavevectors", str(folder / "r"), "--parameter", "alpha", "--json"])
    assert json.loads(done.stdout)["series"][0]["q"] == [0.008, 0.016]
    with pytest.raises(UnknownName, match="no parameter `D1`; valid: `D0`"):
        wavevectors(folder / "r", "D1")
    with pytest.raises(UnknownName, match="no stage `fits`; did you mean `fit`"):
        wavevectors(folder / "r", stage="fits")
    with pytest.raises(InvalidValue, match="no run has an error of `D_offset`"):
        wavevectors(folder / "r", "D_offset")


@pytest.mark.long
def test_standard_errors_cover(tmp_path):
    """Pooled over the physics 68.3 ± 3.5 % of the truths are within one error; the mean of e·C⁻¹e is 7."""
    covered, square = coverage(tmp_path, 500)
    assert covered == pytest.approx(0.683, abs=0.035)
    assert square == pytest.approx(7.0, abs=0.5)


@pytest.mark.long
def test_consensus_is_the_posterior_of_all(tmp_path):
    """Means within 0.2 standard deviations and widths within 20 % of one chain of all points.

    Beside the 0.2 twice the Monte Carlo error of a difference of two such means.
    """
    rows = submitted(tmp_path, document("consensus"))
    whole = rows[rows["stage"] == "whole"].iloc[0]
    reference = rows[rows["stage"] == "reference"].iloc[0]
    chain = campaign.open(tmp_path / "r").chain(reference["run_id"])
    samples = np.asarray(chain.samples[200:]).reshape(-1, len(chain.names))
    for name in ("alpha", "beta", "phi0"):
        draws = samples[:, chain.names.index(name)]
        noise = 2.0 * np.sqrt(2.0) * chain.mcse(200)[name]
        assert abs(whole[f"theta.{name}"] - draws.mean()) < 0.2 * draws.std() + noise
        assert whole[f"stderr.{name}"] == pytest.approx(draws.std(), rel=0.2)
