"""The quickstart, reduced: golden best fits, and its posterior against emcee on another likelihood."""

import json
from pathlib import Path

import numpy as np
import pandas
import pytest

import campaign
from campaign.cli.main import run
from distance_likelihood import NAMES, chi2, emcee_chain, moments

pytestmark = pytest.mark.long

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory):
    """manifests/quickstart.json, its first stage reduced to the published data and four starts."""
    folder = tmp_path_factory.mktemp("quickstart")
    document = json.loads((ROOT / "manifests" / "quickstart.json").read_text())
    axes, starts = document["stages"][0]["expand"]["product"]
    axes["grid"] = {"problem.cov_scale": [1.0], "problem.bootstrap": [0]}
    starts["sample"]["n"] = 4
    (folder / "manifest.json").write_text(json.dumps(document))
    code = run(["submit", str(folder / "manifest.json"), "-d", str(folder / "r"), "--executor", "inline", "--quiet"])
    assert code == 0
    return folder / "r"


def test_the_first_stage_finds_the_published_best_fit(quickstart):
    table = pandas.read_parquet(quickstart / "tables" / "summary.parquet")
    fits = table[table["stage"] == "fit"]
    assert len(fits) == 4
    assert (fits["outcome"] == "converged").all()
    np.testing.assert_allclose(fits["theta.H0"], 68.6352439, rtol=1e-5)
    np.testing.assert_allclose(fits["theta.Om0"], 0.3010207, rtol=1e-5)
    np.testing.assert_allclose(fits["theta.Obh2"], 0.0225376, rtol=1e-5)
    np.testing.assert_allclose(fits["metric.chi2"], 14.731138579, atol=1e-6)
    best = fits[[f"theta.{name}" for name in NAMES[:3]]].to_numpy()
    np.testing.assert_allclose(chi2(best), 14.731138579, atol=1e-6)  # so does the other likelihood


def test_the_second_stage_samples_what_emcee_samples(quickstart):
    table = pandas.read_parquet(quickstart / "tables" / "summary.parquet")
    row = table[table["stage"] == "posterior"].iloc[0]
    trace = campaign.open(quickstart).trace(row["run_id"])
    ours = trace["theta"].values[1000:]  # burn-in: a quarter of 4000
    assert ours.shape == (3000, 32, 3)

    generator = np.random.default_rng(20)
    scales = np.array([0.31, 0.0038, 0.00012])
    start = np.array([68.6352439, 0.3010207, 0.0225376]) + scales * generator.standard_normal((32, 3))
    theirs = emcee_chain(start, 3500, 500, seed=20)

    mean, sd, mean_error, sd_error = moments(ours)
    other_mean, other_sd, other_mean_error, other_sd_error = moments(theirs)
    assert (np.abs(mean - other_mean) < 4 * np.hypot(mean_error, other_mean_error)).all()
    assert (np.abs(sd - other_sd) < 4 * np.hypot(sd_error, other_sd_error)).all()
    assert (np.hypot(mean_error, other_mean_error) < 0.05 * sd).all()  # and the test is sharp
    np.testing.assert_allclose([row[f"theta.{name}"] for name in NAMES[:3]], mean, rtol=1e-9)
    np.testing.assert_allclose([row[f"stderr.{name}"] for name in NAMES[:3]], sd, rtol=1e-4)
