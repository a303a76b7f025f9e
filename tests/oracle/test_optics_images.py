"""A thousand images of one star pair: the errors that fits state are those that they make."""

import json
from pathlib import Path

import numpy as np
import pandas
import pytest

from campaign.cli.main import run
from campaign_optics import bias_and_scatter, information
from campaign_optics.model.options import BinaryFrameOptions
from campaign_optics.model.problem import build

SMALLER = {
    "pixels": 48,
    "pupil_pixels": 32,
    "n_wavelengths": 1,
}  # a tenth of the time; the manifest itself was run once
MANIFEST = Path(__file__).resolve().parents[2] / "manifests" / "optics" / "noise.json"


@pytest.mark.long
def test_estimates_of_a_thousand_images(tmp_path):
    manifest = json.loads(MANIFEST.read_text())
    options = manifest["stages"][0]["problem"]
    options |= SMALLER
    path = tmp_path / "noise.json"
    path.write_text(json.dumps(manifest))
    assert run(["submit", str(path), "-d", str(tmp_path / "r"), "--quiet"]) == 0
    rows = pandas.read_parquet(tmp_path / "r" / "tables" / "summary.parquet")
    assert len(rows) == 1000
    assert (rows["status"] == "ok").all()
    found = bias_and_scatter(rows)
    assert len(found) == 20
    assert np.abs(found["pull_mean"]).max() < 0.1
    assert np.abs(found["pull_sd"] - 1.0).max() < 0.07
    problem = build(BinaryFrameOptions(**{k: v for k, v in options.items() if k not in ("name", "init")}))
    fisher = information(problem, problem.true_theta).fisher
    e = rows[[f"final_delta.{name}" for name in problem.space.names]].to_numpy(float)
    assert np.einsum("ni,ij,nj->n", e, fisher, e).mean() == pytest.approx(20.0, abs=0.6)
