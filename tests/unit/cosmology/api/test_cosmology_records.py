"""Results as objects, as dictionaries and as JSON."""

import json

import numpy as np
import pytest

from campaign_cosmology import (
    CMBOptimizationResult,
    CosmologyWarning,
    OptimizationRecord,
    OptimizationResult,
    OptimizedParameterStore,
    ParameterOptimizer,
    optimize_cmb_parameters,
    run_fit,
    to_json,
)

DOCUMENTED = {
    OptimizationResult: "model optimized_params starting_params final_chi2 chi2_improvement convergence_status "
    "n_function_evaluations optimization_time bounds_reached optimizer_info covariance_scaling metadata",
    OptimizationRecord: "timestamp model dataset optimized_params final_values chi2_improvement convergence_status",
    CMBOptimizationResult: "model optimized_params cmb_chi2 chi2_improvement convergence_diagnostics "
    "parameter_bounds_info provenance",
}


@pytest.fixture(scope="module")
def results():
    """One of each, of a fit that ends at a bound: k_sat up to 0.9 on the CMB."""
    config = {"bounds": {"k_sat": (0.1, 0.9)}}
    with pytest.warns(CosmologyWarning, match="k_sat ended at its upper bound"):
        result = ParameterOptimizer().optimize_parameters(
            "pbuf", ["cmb"], ["k_sat"], {"k_sat": 0.8}, optimizer_config=config
        )
    with pytest.warns(CosmologyWarning, match="k_sat ended at its upper bound"):
        cmb = optimize_cmb_parameters("pbuf", ["k_sat"], {"k_sat": 0.8}, optimizer_config=config)
    return result, cmb


@pytest.fixture
def all_three(results):
    store = OptimizedParameterStore()
    store.update_model_defaults("pbuf", results[0].optimized_params, results[0].metadata)
    return (*results, *store.get_optimization_history("pbuf"))


def test_every_documented_key_is_a_key_and_an_attribute(all_three):
    assert {type(record) for record in all_three} == set(DOCUMENTED)
    for record in all_three:
        for key in DOCUMENTED[type(record)].split():
            assert record[key] == getattr(record, key)
            assert key in record
        assert dict(record) == dict(record.items()) == record.to_dict()
        assert record["model"] == record.get("model") == "pbuf"
        with pytest.raises(KeyError, match="did you mean `model`"):
            record["modle"]
        with pytest.raises(AttributeError):
            record.model = "lcdm"


def test_a_parameter_at_a_bound_is_in_the_list_and_its_side_is_beside_it(results):
    result, cmb = results
    assert "k_sat" in result["bounds_reached"]
    assert result["bounds_reached"] == ["k_sat"]
    assert result.bound_sides == {"k_sat": "upper"}
    assert "k_sat" in cmb["parameter_bounds_info"]["bounds_reached"]
    assert cmb["parameter_bounds_info"]["bound_sides"] == {"k_sat": "upper"}
    assert cmb["parameter_bounds_info"]["bounds_used"]["k_sat"] == (0.1, 0.9)


def test_json_gives_the_record_back(all_three):
    for record in all_three:
        again = type(record).from_dict(json.loads(json.dumps(record.to_dict(), allow_nan=False)))
        assert again == record
        changed = record.to_dict()
        changed["optimized_params"].clear()  # a copy: the record is not affected
        assert record["optimized_params"]
        with pytest.raises(KeyError, match="has no `chi2`"):
            type(record).from_dict({**record.to_dict(), "chi2": 1.0})


def test_a_result_is_json_and_strictly_so():
    result = run_fit("lcdm", ["bao"], optimization_params=["Om0"])
    assert json.loads(json.dumps(result, allow_nan=False)) == json.loads(to_json(result))
    again = json.loads(to_json(result))
    assert again["results"]["bao"]["residuals"] == result["results"]["bao"]["residuals"]
    assert again["params"] == result["params"]
    odd = {"a": np.array([1.0, np.nan]), "b": np.inf, "c": (np.float64(2.0), np.bool_(True), np.int64(3)), 4: None}
    assert json.loads(to_json(odd)) == {"a": [1.0, None], "b": None, "c": [2.0, True, 3], "4": None}
    record = OptimizationResult.from_dict(again["optimization"])
    assert json.loads(to_json(record)) == again["optimization"]
