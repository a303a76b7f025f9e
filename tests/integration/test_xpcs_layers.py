"""The document's layers 2 to 5 around a fit: what each does, against the fit without; and angles one by one."""

import numpy as np
import pytest

import xpcs_sets as sets
from campaign_xpcs.api.inputs import request
from campaign_xpcs.api.layers import active_layers, reset_scaling, weighted
from campaign_xpcs.api.nlsq import fit_nlsq_jax, problem_of
from campaign_xpcs.api.sequential import fit_angles, imbalance
from campaign_xpcs.data.maps import two_time_maps

N = 24
HELD = {"D_offset": 100.0, "gamma_dot_t_offset": 1e-4}
ALL = ("hierarchical", "regularization", "gradient_monitoring", "shear_weighting")


def settings(mode="laminar_flow", **nlsq):
    return {
        "analysis_mode": mode,
        "model": {"shear_model": "homodyne-compat"},
        "initial_parameters": {"values": dict(sets.NEAR), "fixed_parameters": HELD},
        "optimization": {"nlsq": nlsq},
    }


@pytest.fixture(scope="module")
def maps():
    return two_time_maps(**sets.make(5, N))


@pytest.fixture(scope="module")
def plain(maps):
    return fit_nlsq_jax(maps, settings())


@pytest.mark.parametrize(
    ("mode", "n_phi", "scaling", "why"),
    [
        ("laminar_flow", 5, "individual", None),
        ("static_isotropic", 5, "individual", "the mode has no shear"),
        ("laminar_flow", 3, "individual", "3 angles, not more than 3"),
        ("laminar_flow", 5, "averaged", "the scaling is not one of each angle"),
    ],
)
def test_the_conditions_of_the_document(mode, n_phi, scaling, why):
    on = {f"enable_{name}": True for name in ALL}
    asked = request(two_time_maps(**sets.make(n_phi, 8)), settings(mode, per_angle_mode=scaling, **on), {}, None)
    found, said = active_layers(asked, problem_of(asked)[0])
    assert found == ([] if why else list(ALL))
    assert all(why in line for line in said)
    assert len(said) == (4 if why else 0)


def test_none_is_on_by_default(plain):
    assert "layers" not in plain.device_info


@pytest.mark.long
def test_turns_alone_do_not_reach_what_elimination_finds(maps, plain):
    found = fit_nlsq_jax(maps, settings(hierarchical={"enable": True, "max_outer_iterations": 3}))
    turns = found.device_info["layers"]["hierarchical"]
    assert (np.diff(turns["chi_squared"]) <= 0).all()
    assert turns["chi_squared"][-1] > plain.chi_squared * (1 + 1e-8)
    assert turns["evaluations"] > plain.iterations
    assert found.chi_squared == pytest.approx(plain.chi_squared, rel=1e-9)


@pytest.mark.long
def test_a_term_is_reported_without_itself(maps, plain):
    found = fit_nlsq_jax(maps, settings(regularization={"enable": True, "lambda": 10.0}))
    assert found.chi_squared > plain.chi_squared
    spread = [np.std([one.values[f"contrast[{k}]"] for k in range(5)]) for one in (plain, found)]
    assert spread[1] < spread[0]
    assert found.device_info["layers"]["regularization"]["lambda"] == 10.0
    assert found.dof == plain.dof


@pytest.mark.long
def test_weights_lose_precision_and_chi_squared_is_without_them(maps, plain):
    found = fit_nlsq_jax(maps, settings(shear_weighting={"enable": True, "min_weight": 0.1}))
    assert found.chi_squared > plain.chi_squared
    assert found.reduced_chi_squared < 1.2
    for name in ("gamma_dot_t0", "beta", "phi0", "D0"):
        assert found.errors[name] > plain.errors[name] * (1 - 1e-6)
    weights = np.array(found.device_info["layers"]["shear_weighting"]["weights"])
    assert weights.mean() == pytest.approx(1.0)
    heavier, own = weighted(request(maps, settings(), {}, None))
    np.testing.assert_allclose(heavier.maps.sigma, 0.01 / np.sqrt(own))


@pytest.mark.long
def test_an_alarm_ends_a_fit_or_is_only_said(maps, plain):
    watch = {"enable": True, "ratio_threshold": 1e9}
    warned = fit_nlsq_jax(maps, settings(gradient_monitoring={**watch, "response": "warn", "consecutive_triggers": 2}))
    assert warned.device_info["layers"]["gradient_monitoring"]["alarm_at_step"] == 1
    assert warned.chi_squared == pytest.approx(plain.chi_squared, rel=1e-9)
    ended = fit_nlsq_jax(maps, settings(gradient_monitoring={**watch, "response": "abort", "consecutive_triggers": 2}))
    assert (ended.convergence_status, ended.device_info["outcome"], ended.success) == ("failed", "aborted", False)
    quiet = fit_nlsq_jax(maps, settings(gradient_monitoring={"enable": True, "ratio_threshold": 1e-12}))
    assert quiet.device_info["layers"]["gradient_monitoring"]["alarm_at_step"] is None


def test_a_reset_puts_the_scaling_at_its_mean(maps, plain):
    problem, _ = problem_of(request(maps, settings(), {}, None))
    found = reset_scaling(problem, plain.values)
    mean = np.mean([plain.values[f"contrast[{k}]"] for k in range(5)])
    assert {found[f"contrast[{k}]"] for k in range(5)} == {mean}
    assert found["D0"] == plain.values["D0"]


@pytest.mark.long
def test_angles_one_by_one_agree_with_all_together():
    """With little noise, where the model is linear."""
    maps = two_time_maps(**sets.make(5, N, sigma=0.0005))
    plain = fit_nlsq_jax(maps, settings())
    physics = {name: plain.values[name] for name in ("D0", "alpha", "gamma_dot_t0", "beta", "phi0")}
    both, told = fit_angles(request(maps, settings(), {}, None), physics)
    assert told["is_approximate"] is True
    assert [one["success"] for one in told["angles"]] == [True] * 5
    for i, name in enumerate(told["parameters"]):
        assert abs(both.mean[i] - plain.values[name]) < 2 * plain.errors[name]
        assert np.sqrt(both.covariance[i, i]) == pytest.approx(plain.errors[name], rel=0.3)


def test_imbalance_counts_points(maps):
    mask = maps.mask.copy()
    mask[0, :, 12:] = mask[0, 12:, :] = False
    from dataclasses import replace

    assert imbalance(maps) == 1.0
    assert imbalance(replace(maps, mask=mask)) == pytest.approx((24 * 23) / (12 * 11))


@pytest.mark.long
def test_very_different_angles_are_also_fitted_one_by_one(monkeypatch, maps):
    from dataclasses import replace

    from campaign_xpcs.api import stratification

    monkeypatch.setattr(stratification, "LEAST_POINTS", 100)
    mask = maps.mask.copy()
    mask[0, :, 9:] = mask[0, 9:, :] = False
    uneven = replace(maps, mask=mask)
    assert imbalance(uneven) > 5
    assert "sequential_per_angle" not in fit_nlsq_jax(uneven, settings()).device_info
    told = fit_nlsq_jax(uneven, settings(compat="document")).device_info["sequential_per_angle"]
    assert told["is_approximate"] is True
    assert len(told["angles"]) == 5
    assert "one after another" in told["reason"]
