"""Draws of a posterior with something added, from the command line."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from campaign.science import InvalidValue, UsageError
from campaign_cosmology import build_params, likelihood_bao, load_dataset
from campaign_cosmology.commands import fit as cli


def call(*arguments):
    return CliRunner().invoke(cli.group, ["reweight", *map(str, arguments)], catch_exceptions=False)


@pytest.fixture
def draws(tmp_path):
    """H0 = 68 ± 1 and Ω_m = 0.31 ± 0.01 beside a column that is no parameter."""
    rng = np.random.default_rng(0)
    table = np.stack([rng.normal(0.31, 0.01, 4000), rng.normal(68.0, 1.0, 4000), rng.random(4000)], axis=1)
    path = tmp_path / "draws.csv"
    np.savetxt(path, table, delimiter=",", header="Om0,H0,r_d_derived", comments="")
    return path, table


def test_a_prior_that_is_added_gives_the_product_of_gaussians(draws, tmp_path):
    """N(68, 1) times exp(−(H0 − 70)²/(2·2²)): mean 68.4, variance 0.8, ratio √(4/5) exp(−4/10)."""
    path, table = draws
    out = tmp_path / "weights.csv"
    document = json.loads(call(path, "--prior", "H0=70,2", "--weights", out, "--json").stdout)
    found = document["parameters"]["H0"]
    assert found["mean"] == pytest.approx(68.4, abs=0.05)
    assert found["sd"] == pytest.approx(np.sqrt(0.8), rel=0.04)
    assert found["mean_before"] == pytest.approx(table[:, 1].mean(), rel=1e-12)
    assert document["log_evidence_ratio"] == pytest.approx(0.5 * np.log(0.8) - 0.4, abs=0.03)
    assert document["parameters"]["Om0"]["mean"] == pytest.approx(0.31, abs=1e-3)
    weights = np.loadtxt(out, skiprows=1)
    expected = np.exp(-0.5 * ((table[:, 1] - 70.0) / 2.0) ** 2)
    np.testing.assert_allclose(weights, expected / expected.sum(), rtol=1e-10)
    text = call(path, "--prior", "H0=70,2").stdout
    assert f"effective draws: {1.0 / (weights**2).sum():.0f}" in text
    assert "must not be added again" in text


def test_data_that_are_added_weigh_by_their_chi2(tmp_path):
    path, out = tmp_path / "draws.csv", tmp_path / "weights.csv"
    path.write_text("H0,Om0\n67.0,0.30\n68.0,0.31\n69.0,0.32\n")
    call(path, "--data", "bao", "--weights", out)
    data = load_dataset("bao")
    chi2 = [
        likelihood_bao(build_params("lcdm", {"H0": h, "Om0": m}), data)[0]
        for h, m in ((67.0, 0.30), (68.0, 0.31), (69.0, 0.32))
    ]
    expected = np.exp(-0.5 * np.array(chi2))
    np.testing.assert_allclose(np.loadtxt(out, skiprows=1), expected / expected.sum(), rtol=1e-9)


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("H0\n67\nhigh\n", UsageError, "line 3 is no row of 1 numbers"),
        ("H0,Om0\n67,0.3\n68\n", UsageError, "line 3 is no row of 2 numbers"),
        ("H0\n67\n", UsageError, "holds 1 draws"),
        ("", UsageError, "holds 0 draws"),
        ("h\n0.67\n0.68\n", InvalidValue, "has no parameter of `lcdm`"),
        ("H0\n67\n670\n", InvalidValue, "`H0` leaves its bounds"),
        ("H0,Neff\n67,3\n68,3.1\n", InvalidValue, "`Neff` moves"),
        ("H0\n" + "20\n" * 5000 + "70\n", InvalidValue, "hardly overlap"),
    ],
)
def test_draws_that_are_none(tmp_path, text, error, words):
    path = tmp_path / "draws.csv"
    path.write_text(text)
    with pytest.raises(error, match=words):
        call(path, "--prior", "H0=70,1")
    with pytest.raises(UsageError, match="nothing is added"):
        call(path)
