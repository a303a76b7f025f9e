"""Optimisation: golden values through the API, registries, bounds, reproducibility."""

import numpy as np
import pytest
from scipy.optimize import OptimizeResult

from campaign_cosmology import (
    DATASET_LOADERS,
    LIKELIHOOD_FUNCTIONS,
    OPTIMIZERS,
    CosmologyWarning,
    OptimizedParameterStore,
    ParameterOptimizer,
    chi2_generic,
    format_results_table,
    optimize_cmb_parameters,
    run_fit,
)

JOINT = ["cmb", "bao_ani"]
FREE = ["H0", "Om0", "Obh2"]


def test_pbuf_k_sat_on_the_cmb():
    """k_sat = 0.97275 ± 0.0056, chi2 = 0.02028 from the built-in defaults."""
    result = ParameterOptimizer().optimize_parameters("pbuf", ["cmb"], ["k_sat"])
    assert result.optimized_params["k_sat"] == pytest.approx(0.972750095997163, abs=1e-6)
    assert result.stderr["k_sat"] == pytest.approx(0.005615453914279007, rel=1e-4)
    assert result.final_chi2 == pytest.approx(0.020279685026932642, abs=1e-9)
    assert result.chi2_improvement == pytest.approx(0.39762209352293515 - 0.020279685026932642, abs=1e-8)
    assert result.convergence_status == "success"
    assert result.starting_params == {"k_sat": 0.9762}
    assert set(result.optimizer_info) == {"method", "library", "version"}
    assert result.metadata["data_sha256"]["cmb:cmb3"]
    again = ParameterOptimizer().optimize_parameters("pbuf", ["cmb"], ["k_sat"])
    assert again.optimized_params["k_sat"] == pytest.approx(result.optimized_params["k_sat"], rel=1e-8)


@pytest.mark.parametrize("method", ["minimize", "differential_evolution", "trf"])
def test_every_optimiser_finds_the_golden_fit(method):
    result = run_fit("lcdm", JOINT, optimization_params=FREE, optimizer_config={"method": method})
    optimum = result["optimization"]
    assert optimum["final_chi2"] == pytest.approx(14.731138579276937, abs=1e-9)
    golden = {"H0": 68.63524392108138, "Om0": 0.3010206713161032, "Obh2": 0.02253757822292477}
    for name, value in golden.items():
        assert optimum["optimized_params"][name] == pytest.approx(value, rel=1e-6)
        assert result["params"][name] == optimum["optimized_params"][name]
    assert result["params"]["r_s_drag"] == pytest.approx(147.15140370007873, rel=1e-6)
    assert result["metrics"]["bic"] == pytest.approx(23.048904745996282, abs=1e-8)
    errors = {"H0": 0.30501763615491756, "Om0": 0.0037937630684904034, "Obh2": 0.00012285902201468747}
    for name, value in errors.items():
        assert optimum["stderr"][name] == pytest.approx(value, rel=1e-4)
    covariance = optimum["metadata"]["covariance"]
    assert covariance["parameters"] == FREE
    sigma = np.sqrt(np.diag(covariance["matrix"]))
    correlations = [[1.0, -0.96782527, 0.60637964], [-0.96782527, 1.0, -0.41941135], [0.60637964, -0.41941135, 1.0]]
    np.testing.assert_allclose(covariance["matrix"] / np.outer(sigma, sigma), correlations, rtol=1e-5)
    assert optimum["convergence_status"] == "success"


def test_supernovae_count_their_offset():
    """chi2 43.081358075, k = 4 (one magnitude offset), AIC 51.08136, BIC 57.63170."""
    result = run_fit("lcdm", [*JOINT, "sn"], optimization_params=FREE)
    metrics = result["metrics"]
    assert result["optimization"]["gradient_norm"] < 1e-9  # rounding of chi2 alone would leave 6e-6
    assert metrics["total_chi2"] == pytest.approx(43.08135807498767, abs=1e-8)
    assert metrics["n_parameters"] == 4
    assert metrics["aic"] == pytest.approx(51.08135807498767, abs=1e-8)
    assert metrics["bic"] == pytest.approx(57.63170271389321, abs=1e-8)


def test_pbuf_ends_at_the_bound_says_so_and_gives_no_error():
    with pytest.warns(CosmologyWarning, match="pbuf: k_sat ended at its lower bound; no errors"):
        result = run_fit("pbuf", JOINT, optimization_params=[*FREE, "k_sat"])
    optimum = result["optimization"]
    assert optimum["final_chi2"] == pytest.approx(10.911973223665068, abs=1e-8)
    assert optimum["optimized_params"]["k_sat"] == 0.1
    assert optimum["bounds_reached"] == ["k_sat"]
    assert optimum["bound_sides"] == {"k_sat": "lower"}
    assert optimum["stderr"]["k_sat"] is None
    assert optimum["stderr"]["H0"] == pytest.approx(0.27284207834691965, rel=1e-4)
    assert "at its lower bound: no Gaussian error" in format_results_table(result)


def test_what_pbuf_cannot_constrain_is_reported():
    free = [*FREE, "k_sat", "alpha", "Rmax", "eps0", "n_eps"]
    with pytest.warns(CosmologyWarning, match="not constrained by the data: alpha, Rmax, eps0, n_eps"):
        result = ParameterOptimizer().optimize_parameters("pbuf", JOINT, free)
    assert result.unidentified == ["alpha", "Rmax", "eps0", "n_eps"]
    assert all(result.stderr[name] is None for name in result.unidentified)
    assert result.metadata["n_effective_parameters"] == 4
    assert result.final_chi2 == pytest.approx(10.911973223665068, abs=1e-6)
    assert result.metadata["sensitivity"]["H0"] > 1000 > 1e-3 > result.metadata["sensitivity"]["n_eps"]


def test_cmb_alone_has_no_degrees_of_freedom():
    with pytest.warns(CosmologyWarning, match="4 parameters, 4 data: dof = 0"):
        result = optimize_cmb_parameters("lcdm", [*FREE, "ns"], covariance_scaling=1.2)
    assert result.cmb_chi2 == pytest.approx(0.0, abs=1e-9)
    assert result.optimized_params["H0"] == pytest.approx(67.48126261478444, rel=1e-6)
    assert result.optimized_params["ns"] == pytest.approx(0.9649, rel=1e-8)
    assert set(result.convergence_diagnostics) == {"n_iterations", "final_gradient_norm", "function_tolerance_reached"}
    assert result.parameter_bounds_info["bounds_used"]["H0"] == (20.0, 150.0)
    provenance = {"timestamp", "optimizer_method", "library_version", "covariance_scaling", "starting_values"}
    assert provenance <= set(result.provenance)
    assert result.provenance["covariance_scaling"] == 1.2


def test_degenerate_parameters_are_named_together():
    """BAO alone sees H0·r_d: H0 and the baryon density cannot be told apart."""
    with pytest.warns(CosmologyWarning, match="not constrained"):
        result = ParameterOptimizer().optimize_parameters("lcdm", ["bao_ani"], [*FREE, "ns"])
    assert "ns" in result.unidentified
    assert result.stderr["ns"] is None
    assert result.metadata["n_effective_parameters"] < 4


def test_bao_alone_give_the_same_verdict_from_every_start_and_between_all_bounds():
    """H0 and Obh2 are one direction, along which a fit runs until it stops or a bound stops it: neither is measured."""
    rng, verdicts, sides = np.random.default_rng(5), set(), set()
    for k in range(30):
        start = {"H0": rng.uniform(50.0, 90.0), "Om0": rng.uniform(0.2, 0.5), "Obh2": rng.uniform(0.015, 0.035)}
        bounds = {
            "H0": (rng.uniform(20.0, 50.0), rng.uniform(90.0, 150.0)),
            "Obh2": (rng.uniform(0.005, 0.015), rng.uniform(0.035, 0.1)),
        }
        config = {"bounds": bounds} if k % 2 else None
        with pytest.warns(CosmologyWarning, match="not constrained by the data: H0, Obh2"):
            result = run_fit("lcdm", ["bao_ani"], overrides=start, optimization_params=FREE, optimizer_config=config)
        optimum = result["optimization"]
        sides |= set(optimum["bound_sides"])
        errors = tuple(name for name, error in optimum["stderr"].items() if error is not None)
        effective = optimum["metadata"]["n_effective_parameters"]
        verdicts.add((tuple(optimum["unidentified"]), errors, effective, round(result["derived"]["h_rd"]["stderr"], 3)))
    assert verdicts == {(("H0", "Obh2"), ("Om0",), 2, 0.733)}
    assert sides == {"H0", "Obh2"}  # bounds did stop some of them


def test_cmb_alone_fixes_neither_h0_nor_k_sat():
    """chi2 = 0 at k_sat = 1 (H0 = 67.477, ΛCDM's) and at k_sat = 0.5: an error of H0 at free k_sat would be made up."""
    with pytest.warns(CosmologyWarning, match="dof = 0"):
        ends = [run_fit("pbuf", ["cmb"], overrides={"k_sat": k}, optimization_params=FREE) for k in (1.0, 0.5)]
    assert [end["metrics"]["total_chi2"] for end in ends] == pytest.approx([0.0, 0.0], abs=1e-9)
    assert ends[0]["params"]["H0"] == pytest.approx(67.4771639, rel=1e-6)
    assert ends[0]["params"]["H0"] - ends[1]["params"]["H0"] > 3.0
    with (
        pytest.warns(CosmologyWarning, match="dof = -1"),
        pytest.warns(CosmologyWarning, match="not constrained by the data: H0, Om0, k_sat"),
    ):
        result = run_fit("pbuf", ["cmb"], optimization_params=[*FREE, "k_sat"])
    optimum = result["optimization"]
    assert [name for name, error in optimum["stderr"].items() if error is not None] == ["Obh2"]
    assert optimum["stderr"]["Obh2"] == pytest.approx(0.00014912, rel=1e-4)
    assert optimum["metadata"]["n_effective_parameters"] == 3
    assert "degenerate with Om0, k_sat: no error" in format_results_table(result)


def test_the_documents_round_trip():
    """`test_propagation_roundtrip` of the design document, line by line; nothing about the fit is lost on the way."""
    store, optimizer = OptimizedParameterStore(), ParameterOptimizer()
    with pytest.warns(CosmologyWarning, match="not constrained"), pytest.warns(CosmologyWarning, match="dof = -1"):
        result = optimizer.optimize_parameters("pbuf", ["cmb"])
    store.update_model_defaults("pbuf", result.optimized_params, result.metadata)
    reloaded = store.get_model_defaults("pbuf")
    assert set(result.optimized_params) == {*FREE, "k_sat"}
    for name, value in result.optimized_params.items():
        assert np.isclose(reloaded[name], value, rtol=1e-12)
    assert store.is_optimized("pbuf", "cmb")
    (record,) = store.get_optimization_history("pbuf")
    assert record.convergence_status == "success"
    assert record.chi2_improvement == pytest.approx(0.39762209352293515, abs=1e-8)
    assert store.get_warm_start_params("pbuf")["k_sat"] == result.optimized_params["k_sat"]


def test_starts_make_a_table_of_their_ends():
    config = {"n_starts": 4, "seed": 3}
    result = run_fit("lcdm", JOINT, optimization_params=FREE, optimizer_config=config)
    starts = result["optimization"]["metadata"]["starts"]
    assert len(starts) == 4
    assert len({entry["start"]["H0"] for entry in starts}) == 4
    for entry in starts:
        assert entry["chi2"] == pytest.approx(14.731138579276937, abs=1e-6)
    assert "starts: 4" in format_results_table(result)


def test_a_fit_at_a_bound_is_finished():
    """Two BAO points, Om0 at its bound: what is left of H0 has no gradient, whatever the rounding of the bound."""
    with pytest.warns(CosmologyWarning, match="dof = 0"), pytest.warns(CosmologyWarning, match="Om0 ended"):
        optimum = run_fit("lcdm", ["bao"], optimization_params=["H0", "Om0"])["optimization"]
    assert optimum["optimized_params"]["Om0"] == 0.01
    assert optimum["gradient_norm"] < 1e-9


def test_narrower_bounds_hold():
    config = {"method": "minimize", "bounds": {"H0": (69.0, 75.0)}}
    with pytest.warns(CosmologyWarning, match="H0 ended at its lower bound"):
        optimum = run_fit("lcdm", JOINT, overrides={"H0": 70.0}, optimization_params=FREE, optimizer_config=config)
    assert optimum["optimization"]["optimized_params"]["H0"] == 69.0
    assert optimum["optimization"]["bound_sides"] == {"H0": "lower"}
    with pytest.raises(ValueError, match=r"start of `H0`, 67\.4, is outside .* set H0 to a start from 69 to 75"):
        run_fit("lcdm", JOINT, optimization_params=FREE, optimizer_config=config)
    with pytest.raises(ValueError, match=r"inside \(20, 150\)"):
        run_fit("lcdm", JOINT, optimization_params=FREE, optimizer_config={"bounds": {"H0": (10.0, 80.0)}})


def test_options_are_checked_not_ignored():
    with pytest.raises(ValueError, match="did you mean `maxiter`"):
        run_fit("lcdm", JOINT, optimization_params=FREE, optimizer_config={"options": {"maxit": 5}})
    result = run_fit("lcdm", JOINT, optimization_params=FREE, optimizer_config={"options": {"maxiter": 1}})
    assert result["optimization"]["convergence_status"] == "max_iter"


def test_bounds_and_requests():
    optimizer = ParameterOptimizer()
    assert optimizer.get_optimization_bounds("pbuf", "k_sat") == (0.1, 2.0)
    assert optimizer.get_optimization_bounds("lcdm", "ns") == (0.8, 1.2)
    assert optimizer.validate_optimization_request("pbuf", ["k_sat", "alpha"])
    with pytest.raises(ValueError, match="Valid: H0, Om0, Obh2"):
        optimizer.validate_optimization_request("lcdm", ["k_sat"])
    with pytest.raises(ValueError, match="unknown model"):
        optimizer.get_optimization_bounds("cdmw", "H0")


def test_a_registered_optimiser(monkeypatch):
    seen = {}

    def custom_optimizer(objective_func, initial_params, bounds=None, options=None):
        seen.update(bounds=bounds, options=options, chi2=objective_func(initial_params))
        return OptimizeResult(x=initial_params, fun=objective_func(initial_params), nfev=1, success=True)

    monkeypatch.setitem(OPTIMIZERS, "custom_method", custom_optimizer)
    config = {"method": "custom_method", "options": {"custom_param": 1.0}}
    result = run_fit("lcdm", ["cmb"], optimization_params=["H0", "Om0"], optimizer_config=config)
    assert seen["bounds"] == [(20.0, 150.0), (0.01, 0.99)]
    assert seen["options"] == {"custom_param": 1.0}
    assert seen["chi2"] == pytest.approx(23.522168849169308, rel=1e-8)
    assert result["optimization"]["optimizer_info"]["method"] == "custom_method"
    assert result["optimization"]["chi2_improvement"] == 0.0


def test_a_worse_end_is_rejected(monkeypatch):
    def bad(objective_func, initial_params, bounds=None, options=None):
        x = initial_params * 1.1
        return OptimizeResult(x=x, fun=objective_func(x), nfev=1, success=True)

    monkeypatch.setitem(OPTIMIZERS, "bad", bad)
    result = run_fit("lcdm", ["cmb"], optimization_params=["H0"], optimizer_config={"method": "bad"})
    assert result["optimization"]["convergence_status"] == "failed"
    assert result["params"]["H0"] == 67.4


def test_an_end_out_of_bounds_is_rejected(monkeypatch):
    def lost(objective_func, initial_params, bounds=None, options=None):
        return OptimizeResult(x=np.array([2.5]), fun=0.0, success=True)

    monkeypatch.setitem(OPTIMIZERS, "lost", lost)
    result = ParameterOptimizer().optimize_parameters("pbuf", ["cmb"], ["k_sat"], optimizer_config={"method": "lost"})
    assert result.convergence_status == "failed"
    assert result.optimized_params["k_sat"] == result.starting_params["k_sat"] == 0.9762


@pytest.mark.parametrize(("key", "value"), [("n_starts", 0), ("n_starts", "a"), ("seed", -1), ("seed", 1.5)])
def test_numbers_of_the_configuration_are_whole(key, value):
    with pytest.raises(ValueError, match=f"{key} is {value!r}"):
        ParameterOptimizer().optimize_parameters("pbuf", ["cmb"], ["k_sat"], optimizer_config={key: value})


def test_registered_data_and_likelihood(monkeypatch):
    """A Hubble constant of 73 ± 1 as a data set of one's own, fitted together with isotropic BAO."""

    def load_h0():
        metadata = {"n_points": 1, "redshift_range": [0.0, 0.0], "survey": "own"}
        return {"observations": {"H0": 73.0}, "covariance": np.array([[1.0]]), "metadata": metadata}

    def likelihood_h0(params, data):
        predictions = {"H0": params["H0"]}
        return chi2_generic(predictions, data["observations"], data["covariance"]), predictions

    monkeypatch.setitem(DATASET_LOADERS, "h0", load_h0)
    monkeypatch.setitem(LIKELIHOOD_FUNCTIONS, ("lcdm", "h0"), likelihood_h0)
    result = run_fit("lcdm", ["h0", "bao"], optimization_params=["H0"], overrides={"H0": 70.0})
    assert 65.0 < result["params"]["H0"] < 73.0  # the two BAO points pull it down from 73
    assert result["results"]["h0"]["chi2"] == pytest.approx((result["params"]["H0"] - 73.0) ** 2, rel=1e-9)
    assert result["optimization"]["gradient_norm"] < 1e-4
    with pytest.raises(KeyError, match=r'LIKELIHOOD_FUNCTIONS\[\("pbuf", "h0"\)\]'):
        run_fit("pbuf", ["h0"])


def test_the_stored_defaults_are_where_a_fit_starts():
    OptimizedParameterStore().update_model_defaults("lcdm", {"H0": 70.5}, {"source_dataset": "cmb"})
    result = run_fit("lcdm", ["bao"])
    assert result["params"]["H0"] == 70.5
    assert "H0 = 70.5 (from cmb" in result["provenance"]["defaults"]
    assert run_fit("lcdm", ["bao"], overrides={"H0": 71.0})["params"]["H0"] == 71.0
