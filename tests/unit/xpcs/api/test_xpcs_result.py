"""Results: the document's fields, what follows from what, and nothing that can be overwritten."""

import dataclasses
import json

import numpy as np
import pytest

from campaign_xpcs.api.result import OptimizationResult, build_result
from campaign_xpcs.api.result_files import read_nlsq
from campaign_xpcs.judge.flags import Evidence

DOCUMENT = (
    "parameters", "uncertainties", "covariance", "chi_squared", "reduced_chi_squared", "success", "message",
    "iterations", "execution_time", "convergence_status", "quality_flag", "device_info",
)  # fmt: skip


def result(outcome="converged", covariance=((4.0, 0.5), (0.5, 9.0)), chi2=95.0, n=102, **evidence):
    return build_result(
        names=("contrast[0]", "D0", "alpha"),
        free=("contrast[0]", "alpha"),
        parameters=np.array([0.3, 1000.0, -0.2]),
        covariance=np.array(covariance),
        chi_squared=chi2,
        n_data=n,
        evidence=Evidence(outcome=outcome, reduced_chi_squared=chi2 / (n - 2), **evidence),
        message="",
        iterations=7,
        execution_time=0.1,
        device_info={"adapter": "NLSQAdapter", "recovery_actions": []},
        maps_info={"q_inverse_angstrom": 0.01},
    )


def test_the_fields_of_the_document():
    assert set(DOCUMENT) <= {field.name for field in dataclasses.fields(OptimizationResult)}


def test_what_follows_from_what():
    found = result()
    np.testing.assert_allclose(found.uncertainties, [2.0, 0.0, 3.0])
    assert found.errors == {"contrast[0]": 2.0, "alpha": 3.0}
    assert found.covariance[0, 2] == 0.5
    assert found.covariance[1, 1] == 0.0
    assert found.dof == 100
    assert found.reduced_chi_squared == 0.95
    assert (found.success, found.convergence_status, found.quality_flag) == (True, "converged", "good")
    assert found.device_info["outcome"] == "converged"


def test_degrees_of_freedom_count_what_was_fitted():
    """0.14: degrees of freedom in averaged mode: 2 parameters here, whatever the number of angles."""
    assert result(n=12).dof == 10
    assert result(n=12, chi2=20.0).reduced_chi_squared == 2.0


@pytest.mark.parametrize("field", ["success", "parameters", "device_info", "quality_flag"])
def test_nothing_can_be_overwritten(field):
    """0.14: success overwritten."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(result(outcome="stalled"), field, True)


@pytest.mark.parametrize("outcome", ["budget", "stalled", "degenerate", "nonfinite", "diverged", "error", "aborted"])
def test_only_a_converged_fit_is_a_success(outcome):
    assert not result(outcome=outcome).success


def test_an_error_that_is_not_known_is_nan_and_not_zero():
    found = result(covariance=((4.0, 0.0), (0.0, np.nan)), unidentified=("alpha",))
    assert np.isnan(found.uncertainties[2])
    assert found.quality_flag == "marginal"
    assert np.isnan(result(covariance=((0.0, 0.0), (0.0, 9.0))).uncertainties[0])


def test_json_has_no_nan_and_comes_back(tmp_path):
    found = result(covariance=((4.0, 0.0), (0.0, np.nan)))
    document = json.loads(json.dumps({"schema": "campaign-xpcs-result/1", **found.as_json()}, allow_nan=False))
    assert document["uncertainties"]["alpha"] is None
    path = tmp_path / "analysis_results_nlsq.json"
    path.write_text(json.dumps(document))
    back = read_nlsq(tmp_path)
    assert back.as_json() == found.as_json()
    assert back.free == found.free
