"""Neff moves beside CMB priors only with a prior of its own: functions and manifests say the same and find the same."""

import pytest

import campaign
from campaign_cosmology import own_prior, run_fit
from campaign_cosmology.model.options import CosmologyOptions, check, space

FREE = ("H0", "Om0", "Obh2", "Neff")
PRIOR = (3.046, 0.2)


def test_refused_alike_without_a_prior():
    with pytest.raises(ValueError, match="`Neff` is set, not fitted") as error:
        run_fit("lcdm", ["cmb", "bao_ani"], optimization_params=FREE)
    assert "own_prior({'Neff': (mean, sd)})" in str(error.value)
    options = CosmologyOptions(data=["cmb", "bao_ani"])
    with pytest.raises(ValueError, match="`Neff` is free beside CMB"):
        check(options, space(options).with_free(FREE))
    with pytest.raises(ValueError, match="`Tcmb` is set, not fitted"):  # a prior on something else
        run_fit("lcdm", ["cmb", own_prior({"Neff": PRIOR})], optimization_params=["H0", "Tcmb"])


def test_found_alike_with_one():
    data = ["cmb", "bao_ani", own_prior({"Neff": PRIOR})]
    result = run_fit("lcdm", data, optimization_params=FREE)
    optimum = result["optimization"]
    options = {"data": ["cmb", "bao_ani"], "priors": {"Neff": {"normal": list(PRIOR)}}}
    fit = campaign.fit("cosmology", "trf", options=options, free=FREE)
    assert fit.outcome == "converged"
    for name in FREE:
        assert fit.theta[name] == pytest.approx(optimum["optimized_params"][name], abs=1e-4 * fit.stderr[name])
        assert fit.stderr[name] == pytest.approx(optimum["stderr"][name], rel=1e-4)
    assert fit.metric["chi2"] == pytest.approx(optimum["final_chi2"], abs=1e-8)
    assert 0.1 < fit.stderr["Neff"] < PRIOR[1]
    assert any("derived with Neff held" in note for note in result["provenance"]["notes"])
    assert result["metrics"]["n_data"] == 17
