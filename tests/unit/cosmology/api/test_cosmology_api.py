"""Parameters, likelihoods, data sets, statistics, integrity and logging, under the documents' names."""

import logging
import os
import subprocess
import sys

import numpy as np
import pytest

import campaign_cosmology as cosmology
from campaign_cosmology import (
    DEFAULTS,
    CosmologyWarning,
    build_params,
    chi2_generic,
    compute_dof,
    compute_metrics,
    delta_aic,
    format_results_table,
    get_dataset_info,
    get_defaults,
    likelihood_bao,
    likelihood_bao_ani,
    likelihood_cmb,
    likelihood_sn,
    load_dataset,
    log_diagnostics,
    log_run,
    run_fit,
    run_integrity_suite,
    validate_dataset,
    validate_params,
    verify_covariance_matrices,
    verify_h_ratios,
    verify_recombination,
)


def test_the_package_imports_no_jax_until_a_function_is_named():
    code = "import sys, campaign_cosmology as c; dir(c); assert 'jax' not in sys.modules; c.run_fit"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_fits_outside_of_workers_use_the_workers_compilation_cache(tmp_path):
    code = "from campaign_cosmology import run_fit; print(run_fit('lcdm', ['bao'])['metrics']['n_data'])"
    folder = tmp_path / "cache"
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "CAMPAIGN_CACHE": str(folder)})
    assert any((folder / "jax").iterdir())


def test_every_exported_name_exists():
    for name in cosmology.__all__:
        assert getattr(cosmology, name) is not None
    with pytest.raises(AttributeError, match="no `run_fits`"):
        _ = cosmology.run_fits


def test_build_params_has_the_documented_keys_and_golden_values():
    params = build_params("pbuf", overrides={"H0": 70.0}, optimization_metadata={"optimized_params": ["H0"]})
    documented = "H0 Om0 Obh2 ns Neff Tcmb alpha Rmax eps0 n_eps k_sat Omh2 z_recomb z_drag r_s_drag model_class"
    assert set(documented.split()) | {"recomb_method", "optimization_metadata"} <= set(params)
    assert params["H0"] == 70.0
    assert params["Omh2"] == pytest.approx(0.315 * 0.49, rel=1e-14)
    plain = build_params("lcdm")
    assert plain["z_recomb"] == pytest.approx(1089.8532086447042, rel=1e-12)
    assert plain["z_drag"] == pytest.approx(1059.9015920500374, rel=1e-12)
    assert plain["r_s_drag"] == pytest.approx(146.95234766439378, rel=1e-11)
    assert plain["Or0"] == pytest.approx(9.194679788058359e-05, rel=1e-12)
    assert build_params("lcdm", {"recomb_method": "HS96"})["z_recomb"] == pytest.approx(1091.915227098537, rel=1e-12)
    assert get_defaults("pbuf")["alpha"] == 5e-4
    get_defaults("pbuf")["alpha"] = 1.0
    assert get_defaults("pbuf")["alpha"] == 5e-4


@pytest.mark.parametrize(
    ("model", "overrides", "error", "words"),
    [
        ("invalid_model", {}, ValueError, "unknown model"),
        ("lcdm", {"H0": "invalid"}, TypeError, "not a number"),
        ("lcdm", {"H0": True}, TypeError, "bool"),
        ("lcdm", {"H0": 200.0}, ValueError, "20 to 150 km/s/Mpc"),
        ("lcdm", {"H0": float("nan")}, ValueError, "out of bounds"),
        ("lcdm", {"k_sat": 1.0}, ValueError, "`lcdm` has no parameter"),
        ("lcdm", {"Om": 0.3}, ValueError, "did you mean `Om0`"),
        ("lcdm", {"recomb_method": "PLANCK2018"}, ValueError, "did you mean `PLANCK18`"),
    ],
)
def test_build_params_refuses(model, overrides, error, words):
    with pytest.raises(error, match=words):
        build_params(model, overrides)


def test_the_unusable_recombination_method_warns():
    with pytest.warns(CosmologyWarning, match=r"2\.6 % low"):
        build_params("lcdm", {"recomb_method": "EH98"})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"H0": 10.0}, "out of bounds"),
        ({"Omh2": 0.2}, "contradicts"),
        ({"z_drag": 1100.0}, "not above z_drag"),
        ({"r_s_drag": 400.0}, "not physical"),
        ({"model_class": "cdmw"}, "unknown model"),
    ],
)
def test_validate_params(change, words):
    params = build_params("lcdm")
    assert validate_params(params)
    with pytest.raises(ValueError, match=words):
        validate_params({**params, **change})


def test_likelihoods_at_the_defaults():
    """chi2 of the golden points; predictions by label."""
    params = build_params("lcdm")
    chi2, predictions = likelihood_cmb(params, load_dataset("cmb"))
    assert chi2 == pytest.approx(23.522168849169308, rel=1e-8)
    assert predictions["R"] == pytest.approx(1.7494218032966764, rel=1e-11)
    assert likelihood_cmb(params, load_dataset("cmb:cmb4"))[0] == pytest.approx(22.792620707862994, rel=1e-8)
    assert likelihood_cmb(build_params("pbuf"), load_dataset("cmb"))[0] == pytest.approx(0.39762209352293515, rel=1e-8)
    _, bao = likelihood_bao_ani(params, load_dataset("bao_ani"))
    golden = {
        "DV_over_rd@0.295": 8.060568656831368,
        "DM_over_rd@0.51": 13.506600005181642,
        "DH_over_rd@0.51": 22.751393124817373,
        "DM_over_rd@2.33": 39.2027003007806,
        "DH_over_rd@2.33": 8.620638775933315,
    }
    for label, value in golden.items():
        assert bao[label] == pytest.approx(value, rel=1e-11)
    assert list(bao)[-2:] == ["DH_over_rd@2.33", "DM_over_rd@2.33"]  # the order of the release
    assert set(likelihood_bao(params, load_dataset("bao"))[1]) == {"DV_over_rd@0.106", "DV_over_rd@0.15"}
    data = load_dataset("sn")
    chi2, magnitudes = likelihood_sn(params, data)
    assert chi2 == pytest.approx(chi2_generic(magnitudes, data["observations"], data["covariance"]), rel=1e-10)


def test_data_sets():
    data = load_dataset("cmb")
    assert len(data["observations"]) == 3
    assert validate_dataset(data, "cmb")
    with pytest.raises(ValueError, match="expected `bao`"):
        validate_dataset(data, "bao")
    with pytest.raises(ValueError, match="does not have `covariance`"):
        validate_dataset({k: v for k, v in data.items() if k != "covariance"}, "cmb")
    bad = {**data, "covariance": data["covariance"] * np.array([[1, 9, 1], [9, 1, 1], [1, 1, 1]])}
    with pytest.raises(ValueError, match="not positive definite"):
        validate_dataset(bad, "cmb")
    with pytest.raises(KeyError, match="nonexistent"):
        load_dataset("nonexistent_dataset")
    info = get_dataset_info("bao_ani")
    assert (info["name"], info["n_data_points"], info["redshift_range"]) == ("bao_ani:desi-dr2", 13, [0.295, 2.33])
    data["covariance"][:] = 0.0  # a copy: the next reader is not affected
    assert load_dataset("cmb")["covariance"][0, 0] > 0


def test_chi2_matches_rows_by_label_not_by_sorted_name():
    """The reference sorted keys (DH before DM) under a covariance in the other order."""
    covariance = np.array([[4.0, 0.5], [0.5, 0.25]])
    observations = {"DM": 10.0, "DH": 20.0}
    predictions = {"DH": 20.5, "DM": 12.0}
    r = np.array([2.0, 0.5])
    assert chi2_generic(predictions, observations, covariance) == pytest.approx(r @ np.linalg.inv(covariance) @ r)
    with pytest.raises(KeyError, match="no prediction for DH"):
        chi2_generic({"DM": 1.0}, observations, covariance)
    with pytest.raises(ValueError, match="not positive definite"):
        chi2_generic(predictions, observations, np.array([[1.0, 2.0], [2.0, 1.0]]))
    with pytest.raises(ValueError, match="shape"):
        chi2_generic(predictions, observations, np.eye(3))
    # a data set of the documents' extension example has a vector of observations
    for made in ([12.0, 20.5], {"DM": 12.0, "DH": 20.5}):
        assert chi2_generic(made, np.array([10.0, 20.0]), covariance) == pytest.approx(
            r @ np.linalg.inv(covariance) @ r
        )
    with pytest.raises(ValueError, match="one for each"):
        chi2_generic([1.0], np.array([10.0, 20.0]), covariance)
    with pytest.raises(ValueError, match="label → value"):
        chi2_generic([12.0, 20.5], observations, covariance)


def test_metrics():
    """ΛCDM on CMB + DESI DR2: chi2 14.731138579, N 16, k 3 → AIC 20.73114, BIC 23.04890, p 0.3244."""
    metrics = compute_metrics(14.731138579276937, 3, ["cmb", "bao_ani"])
    assert metrics["aic"] == pytest.approx(20.731138579276937, rel=1e-13)
    assert metrics["bic"] == pytest.approx(23.048904745996282, rel=1e-13)
    assert metrics["p_value"] == pytest.approx(0.32443658565337724, rel=1e-10)
    assert metrics["aicc"] == pytest.approx(22.731138579276937, rel=1e-13)
    assert metrics["dof"] == compute_dof(["cmb", "bao_ani"], 3) == 13
    assert metrics["reduced_chi2"] == metrics["chi2_reduced"] == pytest.approx(14.731138579276937 / 13)
    assert metrics["total_chi2"] == metrics["chi2"]
    assert delta_aic(18.91197322366507, 20.731138579276937) == pytest.approx(-1.8191653556118688)


@pytest.mark.parametrize(("k", "words"), [(3, "goes through every point"), (8, "many parameter sets")])
def test_no_degrees_of_freedom_are_said_plainly(k, words):
    with pytest.warns(CosmologyWarning, match=words):
        metrics = compute_metrics(0.5, k, ["cmb"])
    assert metrics["dof"] == 3 - k
    assert metrics["p_value"] is None
    assert metrics["reduced_chi2"] is None


def test_metrics_refuse_what_is_no_chi2():
    with pytest.raises(ValueError, match="not a chi2"):
        compute_metrics(float("nan"), 3, ["bao_ani"])
    with pytest.raises(KeyError):
        compute_dof(["nothing"], 1)


def test_integrity():
    lcdm, pbuf = build_params("lcdm"), build_params("pbuf")
    assert verify_h_ratios(lcdm)
    assert verify_h_ratios(pbuf)
    assert not verify_h_ratios(pbuf, tolerance=1e-6)
    assert not verify_h_ratios(build_params("pbuf", {"k_sat": 0.1}))
    assert verify_recombination(lcdm)
    assert not verify_recombination(build_params("lcdm", {"recomb_method": "HS96"}))  # +0.18 %: its known bias
    assert verify_covariance_matrices(["cmb", "bao", "bao_ani", "sn"])
    suite = run_integrity_suite(pbuf, ["cmb", "bao_ani"])
    assert suite["overall"]
    assert suite["h_ratios"]["values"][1] == pytest.approx(0.9999974619050321, rel=1e-12)
    off = run_integrity_suite(build_params("lcdm", {"drag_method": "EH98"}), ["cmb"])
    assert not off["sound_horizon"]["passed"]
    assert not off["overall"]
    assert not run_integrity_suite(lcdm, ["cmb"], {"sound_horizon": {"reference": 140.0}})["overall"]
    # correlations 0.463, -0.660, -0.327 of the priors: least eigenvalue 0.3195
    assert not run_integrity_suite(lcdm, ["cmb"], {"covariance": {"min_eigenvalue": 0.32}})["covariance"]["passed"]
    for config, words in (({"h_ratio": {}}, "did you mean `h_ratios`"), ({"h_ratios": {"z": [1.0]}}, "no `z`")):
        with pytest.raises(ValueError, match=words):
            run_integrity_suite(lcdm, ["cmb"], config)


def test_likelihoods_refuse_what_is_not_theirs():
    with pytest.raises(KeyError, match="parameters are missing: Om0, Obh2"):
        likelihood_cmb({"H0": 70.0}, load_dataset("cmb"))
    with pytest.raises(ValueError, match="of type `bao`; likelihood_cmb needs `cmb`"):
        likelihood_cmb(build_params("lcdm"), load_dataset("bao"))
    data = load_dataset("bao_ani")
    (*others, radial, transverse) = data["observations"].items()  # at z = 2.33 the release has DH first
    data["observations"] = dict([*others, transverse, radial])
    with pytest.raises(ValueError, match=r"row `DM_over_rd@2\.33` where its covariance has `DH_over_rd@2\.33`"):
        likelihood_bao_ani(build_params("lcdm"), data)


def test_evaluation_without_a_fit(caplog):
    result = run_fit("lcdm", ["cmb", "bao"])
    assert set(result) == {"params", "results", "metrics", "diagnostics", "provenance", "derived"}
    assert set(result["diagnostics"]) == {"h_ratios", "recomb_check", "covariance_status"}
    block = result["results"]["cmb"]
    assert {"chi2", "predictions", "residuals"} <= set(block)
    assert block["residuals"][0] == pytest.approx(1.7494218032966764 - 1.750235, rel=1e-9)
    assert result["metrics"]["n_parameters"] == 0
    assert result["metrics"]["total_chi2"] == pytest.approx(sum(b["chi2"] for b in result["results"].values()))
    scaled = run_fit("lcdm", ["cmb", "bao"], covariance_scaling=4.0)
    assert scaled["metrics"]["total_chi2"] == pytest.approx(result["metrics"]["total_chi2"] / 4.0, rel=1e-12)
    with caplog.at_level(logging.INFO, logger="campaign.cosmology"):
        log_run("lcdm", "joint", result, result["metrics"])
        log_diagnostics(result["params"], block["predictions"])
    assert [r.getMessage().split()[0] for r in caplog.records] == [
        "[RUN]",
        "[METRICS]",
        "[DIAGNOSTICS]",
        "[PREDICTIONS]",
    ]
    table = format_results_table(result)
    assert "fixed" in table
    assert "evaluated" in table
    assert "zstar PLANCK18" in table


def test_individual_mode_fits_each_data_set():
    result = run_fit("lcdm", ["cmb", "bao_ani"], mode="individual")
    assert set(result["results"]["cmb"]) >= {"chi2", "params", "metrics"}
    joint = run_fit("lcdm", ["cmb", "bao_ani"])
    assert result["metrics"]["total_chi2"] == pytest.approx(joint["metrics"]["total_chi2"], rel=1e-12)
    fitted = run_fit("lcdm", ["cmb", "bao_ani"], mode="individual", optimization_params=["Om0"])
    errors = [block["optimization"]["stderr"]["Om0"] for block in fitted["results"].values()]
    alone = run_fit("lcdm", ["bao_ani"], optimization_params=["Om0"])
    assert errors[1] == alone["optimization"]["stderr"]["Om0"] != errors[0]
    table = format_results_table(fitted)
    assert "lcdm on cmb:cmb3: fit by L-BFGS-B, success" in table
    assert format_results_table(alone).splitlines()[3:16] == table.split("\n\n\n")[1].splitlines()[3:16]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"model": "cdmw", "datasets_list": ["cmb"]}, ValueError),
        ({"model": "lcdm", "datasets_list": []}, ValueError),
        ({"model": "lcdm", "datasets_list": ["cmbb"]}, KeyError),
        ({"model": "lcdm", "datasets_list": "cmb"}, ValueError),
        ({"model": "lcdm", "datasets_list": ["cmb"], "optimization_params": ["k_sat"]}, ValueError),
        ({"model": "lcdm", "datasets_list": ["cmb"], "optimization_params": []}, ValueError),
        ({"model": "lcdm", "datasets_list": ["cmb"], "mode": "both"}, ValueError),
        ({"model": "lcdm", "datasets_list": ["bao_ani", "bao_ani:desi-dr1"]}, ValueError),
        ({"model": "lcdm", "datasets_list": ["cmb"], "overrides": {"H0": "70"}}, TypeError),
        ({"model": "lcdm", "datasets_list": ["cmb"], "covariance_scaling": 0.0}, ValueError),
        ({"model": "lcdm", "datasets_list": ["cmb"], "optimizer_config": {"method": "newton"}}, ValueError),
        ({"model": "lcdm", "datasets_list": ["cmb"], "optimizer_config": {"metod": "trf"}}, ValueError),
    ],
)
def test_run_fit_raises_what_is_documented(arguments, error):
    with pytest.raises(error):
        run_fit(**arguments)


def test_models_are_extended_by_an_entry(monkeypatch):
    monkeypatch.setitem(DEFAULTS, "new_model", {**get_defaults("lcdm"), "new_param1": 1.0, "model_class": "new_model"})
    params = build_params("new_model", {"new_param1": 2.0})
    assert params["new_param1"] == 2.0
    assert params["r_s_drag"] == build_params("lcdm")["r_s_drag"]
    result = run_fit("new_model", ["cmb", "bao"])
    assert result["metrics"]["total_chi2"] == pytest.approx(
        run_fit("lcdm", ["cmb", "bao"])["metrics"]["total_chi2"], rel=1e-12
    )


def test_an_unphysical_optimum_is_noted():
    """Two isotropic BAO points cannot fix three parameters: the optimum has next to no matter, and z* below z_d."""
    bound = "Om0 ended at its lower bound; Obh2 ended at its upper bound"
    with pytest.warns(CosmologyWarning, match="dof = -1"), pytest.warns(CosmologyWarning, match=bound):
        result = run_fit("lcdm", ["bao"], optimization_params=["H0", "Om0", "Obh2"])
    assert any(note.startswith("not physical: `Omh2` = ") for note in result["provenance"]["notes"])
    assert not any("not physical" in note for note in run_fit("lcdm", ["bao"])["provenance"]["notes"])


@pytest.fixture
def registered(monkeypatch):
    from campaign_cosmology.api.datasets import DATASET_LOADERS

    def register(name, factor):
        data = load_dataset("bao_ani")
        data["observations"] = {key: factor * value for key, value in data["observations"].items()}
        data["metadata"]["name"] = name
        monkeypatch.setitem(DATASET_LOADERS, name, lambda: data)

    return register


def test_own_data_are_fitted_like_built_in_ones(registered):
    registered("bao_ani:mine", 1.0)
    fits = [
        run_fit("lcdm", ["cmb", name], optimization_params=["H0", "Om0", "Obh2"])
        for name in ("bao_ani", "bao_ani:mine")
    ]
    one, other = (fit["optimization"] for fit in fits)
    assert one["optimized_params"] == other["optimized_params"]
    assert one["stderr"] == other["stderr"]
    assert one["final_chi2"] == other["final_chi2"]


def test_other_numbers_under_another_name_are_not_the_same_data(registered):
    registered("bao_ani:mine", 1.03)
    fits = [run_fit("lcdm", ["cmb", name]) for name in ("bao_ani", "bao_ani:mine")]
    with pytest.raises(ValueError, match="data_sha256"):
        cosmology.compare(*fits)


def test_a_registered_model_that_ignores_a_free_parameter_is_refused(monkeypatch):
    from campaign_cosmology.api.parameters import DEFAULTS

    monkeypatch.setitem(DEFAULTS, "dark", {**get_defaults("lcdm"), "w0": -0.5, "model_class": "dark"})
    with pytest.raises(ValueError, match="`w0` changes nothing"):
        run_fit("dark", ["cmb"], optimization_params=["H0", "w0"])


def test_a_loader_that_returns_nothing_is_named(monkeypatch):
    from campaign_cosmology.api.datasets import DATASET_LOADERS

    monkeypatch.setitem(DATASET_LOADERS, "bao_ani:none", lambda: None)
    with pytest.raises(ValueError, match="loader of `bao_ani:none` returned a NoneType"):
        run_fit("lcdm", ["bao_ani:none"])


def test_a_massive_neutrino_and_a_free_horizon_by_name():
    params = build_params("lcdm", {"neutrinos": "one-massive", "mnu": 0.1})
    assert params["mnu"] == 0.1
    assert params["r_s_drag"] > build_params("lcdm")["r_s_drag"]
    fit = run_fit("lcdm", ["bao_ani"], overrides={"drag_method": "FREE"}, optimization_params=["Om0", "r_d"])
    assert fit["optimization"]["optimized_params"]["r_d"] * 67.4 == pytest.approx(10154.908, rel=1e-5)  # H0 r_d
    with pytest.raises(ValueError, match="mnu"):
        build_params("lcdm", {"mnu": 0.1})
