"""The campaigns of manifests/optics: what they plan, and what reduced ones give."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas
import pytest

import campaign
from campaign.cli.main import run
from campaign.manifest.load import load
from campaign.schedule.planning import plan_stage
from campaign_optics import against_cold, bias_and_scatter, flagged, information, noisy, steps_to_optimum
from campaign_optics.model.options import BinaryFrameOptions
from campaign_optics.model.problem import build

MANIFESTS = Path(__file__).resolve().parents[2] / "manifests" / "optics"
SMALL = {"pixels": 24, "pupil_pixels": 24, "n_wavelengths": 1, "primary_noll": [4, 7, 8]}
TRUTH = {
    "binary.separation_as": 4.0,
    "binary.position_angle_deg": 70.0,
    "binary.log_flux_total": 6.0,
    "primary.zernike_coeffs_nm": [5.0, -10.0, 3.0],
    "detector.background_e": 10.0,
}


def reduced(name):
    """A manifest on small images of a close pair."""
    document = json.loads((MANIFESTS / f"{name}.json").read_text())
    for stage in document["stages"]:
        if problem := stage.get("problem"):
            stage["problem"] = problem | SMALL | {key: TRUTH for key in ("truth", "initial") if key in problem}
    return document


def submitted(folder, document):
    """Run a manifest in this process."""
    path = folder / "manifest.json"
    path.write_text(json.dumps(document))
    assert run(["submit", str(path), "-d", str(folder / "r"), "--executor", "inline", "--quiet"]) == 0
    return folder / "r"


def table(directory, stage):
    rows = pandas.read_parquet(directory / "tables" / "summary.parquet")
    return rows[rows["stage"] == stage]


@pytest.fixture(scope="module")
def noise(tmp_path_factory):
    """48 images of the noise campaign."""
    document = reduced("noise")
    document["stages"][0]["expand"] = {"grid": {"problem.seed": {"range": [1, 49, 1]}}}
    return submitted(tmp_path_factory.mktemp("noise"), document)


@pytest.mark.parametrize(("name", "n_runs"), [("noise", 1000), ("bias", 900)])
def test_what_the_manifests_plan(name, n_runs):
    manifest = load(MANIFESTS / f"{name}.json")
    part = plan_stage(manifest, manifest.stages[0])
    assert part.header["n_runs"] == n_runs
    assert len(part.header["programs"]) == 1


def test_a_night_is_planned_frame_by_frame(tmp_path):
    shutil.copy(MANIFESTS / "night.json", tmp_path)
    np.save(tmp_path / "night.npy", np.zeros((1, 64, 64)))
    manifest = load(tmp_path / "night.json")
    part = plan_stage(manifest, manifest.stages[0])
    assert part.header["n_runs"] == 360
    assert len(part.header["programs"]) == 1


def test_estimates_scatter_as_their_errors_say(noise):
    """Wide bounds for 48 images: four standard errors. The long test has 1,000."""
    rows = table(noise, "fit")
    assert (rows["status"] == "ok").all()
    found = bias_and_scatter(rows)
    d = len(found)
    assert d == 11
    assert np.abs(found["pull_mean"]).max() < 4.0 / np.sqrt(48)
    assert np.abs(found["pull_sd"] - 1.0).max() < 4.0 / np.sqrt(2 * 47)
    problem = build(BinaryFrameOptions(**SMALL, truth=TRUTH))
    fisher = information(problem, problem.true_theta).fisher
    e = rows[[f"final_delta.{name}" for name in problem.space.names]].to_numpy(float)
    assert np.einsum("ni,ij,nj->n", e, fisher, e).mean() == pytest.approx(d, abs=4.0 * np.sqrt(2.0 * d / 48))


def test_the_table_has_the_truth(noise):
    rows = table(noise, "fit")
    assert (rows["truth.binary.separation_as"] == 4.0).all()
    off = rows["theta.primary.zernike_coeffs_nm[1]"] - rows["truth.primary.zernike_coeffs_nm[1]"]
    assert np.array_equal(off, rows["final_delta.primary.zernike_coeffs_nm[1]"])


def test_its_report_has_our_panels(noise):
    names = ("binary-errors", "binary-image")
    arguments = [part for name in names for part in ("--panel", name)]
    assert run(["report", str(noise), *arguments]) == 0
    page = (noise / "report.html").read_text()
    assert all(title in page for title in ("Errors over steps", "The image and its model"))
    assert page.count("data:image/png") >= 2


def test_frames_start_from_the_nearest_anchor(tmp_path):
    document = reduced("night")
    for stage, step in zip(document["stages"], (3, 1, 2), strict=True):
        stage["expand"] = {"grid": {"problem.frame": {"range": [0, 6, step]}}}
    at = BinaryFrameOptions(**SMALL, truth=TRUTH, noise=False)
    mean = np.asarray(build(at).electrons)
    np.save(tmp_path / "night.npy", np.stack([noisy(mean, 5.0, k) for k in range(6)]))
    directory = submitted(tmp_path, document)
    anchors, frames = (table(directory, stage).set_index("problem.frame") for stage in ("anchors", "frames"))
    assert (frames["status"] == "ok").all()
    name = "binary.separation_as"
    for frame, anchor in ((0, 0), (1, 0), (2, 3), (3, 3), (5, 3)):
        assert frames.loc[frame, f"start.{name}"] == anchors.loc[anchor, f"theta.{name}"]
    assert frames.loc[3, f"theta.{name}"] == pytest.approx(anchors.loc[3, f"theta.{name}"], abs=1e-6)
    assert frames[f"theta.{name}"].nunique() == 6


def test_a_detector_that_is_shifted_biases_the_position(tmp_path):
    """By offset times plate scale, and nothing else in sight."""
    document = reduced("bias")
    document["stages"][0]["problem"]["noise"] = False
    document["stages"][0]["expand"] = {"grid": {"problem.pixel_offset_x": [0.0, 0.1], "problem.seed": [1, 2]}}
    rows = table(submitted(tmp_path, document), "fit")
    shifted, straight = (bias_and_scatter(rows[rows["problem.pixel_offset_x"] == at]) for at in (0.1, 0.0))
    x = "binary.x_position_as"
    scale = rows["truth.system.plate_scale_as_per_pix"].iloc[0]
    assert shifted.loc[x, "bias"] == pytest.approx(0.1 * scale, rel=1e-5)
    assert np.abs(shifted["bias"].drop(x) / shifted["stderr"].drop(x)).max() < 1e-3
    assert np.abs(straight["bias"] / straight["stderr"]).max() < 1e-3


def test_optimisers_agree(tmp_path):
    document = reduced("optimisers")
    kept = ("lm", "lbfgs")
    document["stages"] = [stage for stage in document["stages"] if stage["name"] in kept]
    for stage in document["stages"]:
        stage["expand"] = {"grid": {"problem.seed": [20251213]}}
    directory = submitted(tmp_path, document)
    one, other = (table(directory, stage).iloc[0] for stage in kept)
    assert other["loss"] == pytest.approx(one["loss"], abs=1e-2)
    for name in TRUTH:
        if f"theta.{name}" in one:
            assert one[f"theta.{name}"] == pytest.approx(other[f"theta.{name}"], abs=0.2 * one[f"stderr.{name}"])
    handle = campaign.open(directory)
    counted = steps_to_optimum(handle).set_index("stage")
    for stage in kept:
        loss = handle.trace(table(directory, stage).iloc[0]["run_id"])["loss"].values
        assert counted.loc[stage, "excess < 1"] == np.flatnonzero(loss - one["loss"] >= 1.0)[-1] + 1
    assert counted.loc["lm", "excess < 1"] <= counted.loc["lm", "excess < 1e-3"] <= one["n_steps"] - 1
    assert counted.loc["lm", "excess < 1e-3"] < counted.loc["lbfgs", "excess < 1e-3"]


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    """12 simulated frames by three stages and chains of four; of frame 5 the lower half is saturated."""
    folder = tmp_path_factory.mktemp("night")
    document = reduced("night")
    problem = document["stages"][0]["problem"]
    document["stages"].append(
        {
            "name": "chains",
            "problem": problem | {"chain": 4},
            "start": {"from": "anchors", "pick": "nearest", "by": "tag.time"},
            "engine": {"name": "evaluate"},
            "expand": {"grid": {"problem.frame": {"range": [0, 36000, 4]}}},
            "derive": {"tag.time": "0.05 * problem.frame"},
        }
    )
    for stage, (first, step) in zip(document["stages"], ((0, 4), (0, 1), (0, 1), (0, 4)), strict=True):
        stage["expand"]["grid"]["problem.frame"]["range"] = [first, 36000, step]
    path = folder / "small.json"
    path.write_text(json.dumps(document))
    assert run(["optics", "simulate-night", str(path), str(folder / "n"), "--frames", "12", "--seed", "3"]) == 0
    stack = np.load(folder / "n" / "night.npy", mmap_mode="r+")
    stack[5, :12] = 60000.0
    stack.flush()
    assert run(["submit", str(folder / "n" / "small.json"), "-d", str(folder / "r"), "--executor", "inline"]) == 0
    return folder


def test_frames_that_have_no_optimum_are_flagged(night):
    assert list(flagged(table(night / "r", "frames"))) == [5]


def test_starts_from_neighbours_end_where_others_do(night):
    found = against_cold(table(night / "r", "frames"), table(night / "r", "cold"))
    assert found["n"] == 11
    assert found["near"] == 1.0
    assert found["worst"] < 1e-3


def test_the_simulated_night_drifts_about_its_truth(night):
    """χ² of the estimates against the truth behind the frames: one a parameter, within four of its errors."""
    rows = table(night / "r", "frames").set_index("problem.frame").drop(5)
    with np.load(night / "n" / "truth.npz") as truth:
        names, theta = truth["names"].tolist(), truth["theta"][rows.index]
    separation = names.index("binary.separation_as")
    assert np.ptp(theta[:, separation]) == 0.0
    assert np.ptp(theta[:, names.index("binary.x_position_as")]) > 0.0
    pulls = (rows[[f"theta.{name}" for name in names]].to_numpy(float) - theta) / rows[
        [f"stderr.{name}" for name in names]
    ].to_numpy(float)
    assert (pulls**2).mean() == pytest.approx(1.0, abs=4.0 * np.sqrt(2.0 / pulls.size))


def test_a_chain_ends_where_its_frames_do(night):
    """And goes on beyond one that has no optimum."""
    frames = table(night / "r", "frames").set_index("problem.frame")
    handle = campaign.open(night / "r")
    for _, row in table(night / "r", "chains").iterrows():
        found = handle.trace(row["run_id"])
        which = int(row["problem.frame"]) + np.arange(4)
        names = [str(name) for name in found["parameter"].values]
        one = frames.loc[which]
        sigma = one[[f"stderr.{name}" for name in names]].to_numpy(float)
        off = (found["estimate"].values - one[[f"theta.{name}" for name in names]].to_numpy(float)) / sigma
        good = which != 5
        assert np.abs(off[good]).max() < 1e-3
        assert found["error"].values[good] == pytest.approx(sigma[good], rel=1e-4)
        assert (found["is_optimum"].values[good] == 1).all()
        assert found["losses"].values[good] == pytest.approx(one["loss"][good].to_numpy(), abs=1e-6)


def test_a_night_that_cannot_be_simulated(tmp_path, capsys):
    path = tmp_path / "m.json"
    path.write_text(json.dumps(reduced("noise")))
    assert run(["optics", "simulate-night", str(path), str(tmp_path / "n")]) == 2
    assert '"data": "night.npy"' in capsys.readouterr().err
