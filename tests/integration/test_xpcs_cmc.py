"""fit_mcmc_jax: modes come from the least-squares result; parts combine to the posterior of all data."""

from dataclasses import replace

import numpy as np
import pytest

import xpcs_sets as sets
from campaign.science import InvalidValue, UsageError
from campaign_xpcs.api.cmc import fit_mcmc_jax, inherited, shard_problem
from campaign_xpcs.api.inputs import request
from campaign_xpcs.api.nlsq import fit_nlsq_jax
from campaign_xpcs.data.cmc_config import CMCConfig
from campaign_xpcs.data.maps import two_time_maps

N = 24
SETTINGS = {
    "analysis_mode": "static_isotropic",
    "initial_parameters": {"values": {"D0": 5e4, "alpha": -0.2}, "fixed_parameters": {"D_offset": 100.0}},
}
SAMPLER = {"num_warmup": 300, "num_samples": 1200, "num_chains": 4, "min_ess": 400.0}


@pytest.fixture(scope="module")
def maps():
    """Angles across the flow, so that no shear is in them, and a correlation that decays within the frames."""
    truth = {**sets.TRUE, "D0": 6e4}
    made = sets.make(3, N, sigma=0.002)
    phi = np.array([84.5, 85.0, 85.5])
    noise = made["c2"] - sets.model(sets.TRUE, made["phi_deg"], N, *sets.scales(made["phi_deg"]))
    c2 = sets.model(truth, phi, N, *sets.scales(phi)) + noise
    return two_time_maps(**{**made, "c2": c2, "phi_deg": phi})


@pytest.fixture(scope="module")
def best(maps):
    return fit_nlsq_jax(maps, SETTINGS)


def changed(best, **info):
    return replace(best, maps_info={**best.maps_info, **info})


def test_modes_come_from_the_result(maps, best):
    asked = request(maps, SETTINGS, {}, None)
    assert asked.config.shear_model == "physical"
    own, said = inherited(asked, CMCConfig(), changed(best, scaling="averaged", shear_model="homodyne-compat"))
    assert own.nlsq.per_angle_mode == "averaged"
    assert own.config.shear_model == "homodyne-compat"
    assert said["mode_from"] == "nlsq_result"
    own, said = inherited(asked, CMCConfig(), None)
    assert said == {"per_angle_mode": "individual", "shear_model": "physical", "mode_from": "configuration"}


@pytest.mark.parametrize("where", ["cmc_config", "config", "shear"])
def test_another_mode_is_an_error_unless_it_is_allowed(maps, best, where):
    settings, mode = dict(SETTINGS), None
    if where == "cmc_config":
        mode = "averaged"
    elif where == "config":
        settings["optimization"] = {"nlsq": {"per_angle_mode": "averaged"}}
    else:
        settings["model"] = {"shear_model": "homodyne-compat"}
    asked = request(maps, settings, {}, None)
    with pytest.raises(InvalidValue, match=r"the result has `(individual|physical)`"):
        inherited(asked, CMCConfig(per_angle_mode=mode), best)
    own, said = inherited(asked, CMCConfig(per_angle_mode=mode, allow_mode_mismatch=True), best)
    assert said["mode_mismatch"]
    assert own.nlsq.per_angle_mode == ("auto" if where == "shear" else "averaged")


def test_parts_have_every_point_once_and_their_share_of_the_priors(maps):
    bounds = [{"name": "D0", "min": 100.0, "max": 1e5, "prior_mu": 2000.0, "prior_sigma": 500.0}]
    asked = request(maps, {**SETTINGS, "parameter_space": {"bounds": bounds}}, {}, None)
    parts = [shard_problem(asked, k, 4, seed=1) for k in range(4)]
    assert sum(part.data.size - int(part.n_masked) for part in parts) == maps.n_points
    one, part = shard_problem(asked, 0, 1, seed=1).space["D0"].prior, parts[0].space["D0"].prior
    assert part.numbers[1] == pytest.approx(2.0 * one.numbers[1])
    names = parts[0].space.free_names
    assert "contrast[0]" in names
    assert shard_problem(asked, 0, 1, seed=1).space.free_names == ("D0", "alpha")


def test_wrong_settings_are_refused(maps):
    with pytest.raises(UsageError, match="`cmc_config` is int"):
        fit_mcmc_jax(maps, SETTINGS, cmc_config=3)


@pytest.mark.long
def test_parts_combine_to_the_posterior_of_all_data(maps, best):
    """Means within 0.2 standard deviations of one chain of all data, widths within 20 %: section 0.6."""
    whole = fit_mcmc_jax(maps, SETTINGS, cmc_config={**SAMPLER, "num_shards": 1}, nlsq_result=best)
    parts = fit_mcmc_jax(maps, SETTINGS, cmc_config={**SAMPLER, "num_shards": 3}, nlsq_result=best)
    for name in ("D0", "alpha"):
        assert abs(parts.mean[name] - whole.mean[name]) < 0.2 * whole.sd[name]
        assert parts.sd[name] == pytest.approx(whole.sd[name], rel=0.2)
        assert abs(whole.mean[name] - best.values[name]) < 0.5 * best.errors[name]
        assert whole.sd[name] == pytest.approx(best.errors[name], rel=0.25)
    assert parts.agreement > 1e-4
    assert whole.divergence_rate < 0.05
    assert parts.divergence_rate < 0.05
    assert [one.verdict for one in parts.shards] == ["kept"] * 3
    correlation = []
    for one in (whole, parts):
        i, j = one.names.index("D0"), one.names.index("alpha")
        correlation.append(one.covariance[i, j] / np.sqrt(one.covariance[i, i] * one.covariance[j, j]))
    assert correlation[0] == pytest.approx(correlation[1], abs=0.1)


@pytest.mark.long
def test_parts_that_have_not_mixed_give_no_result(maps, best):
    few = {"num_warmup": 5, "num_samples": 8, "num_chains": 2, "num_shards": 2}
    with pytest.raises(InvalidValue, match="of 2 members count"):
        fit_mcmc_jax(maps, SETTINGS, cmc_config=few, nlsq_result=best)
