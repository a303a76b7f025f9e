"""The tolerance reaches the optimiser, and what becomes of it is said."""

import json

import pytest
from click.testing import CliRunner
from scipy.optimize import OptimizeResult

from campaign_cosmology import OPTIMIZERS, ParameterOptimizer
from campaign_cosmology.commands import fit as cli
from campaign_cosmology.model.tolerance import tolerance_for


@pytest.mark.parametrize(
    ("method", "options", "asked", "found", "words"),
    [
        ("minimize", None, 1e-6, {"gtol": 1e-6, "ftol": 1e-12}, None),
        ("minimize", None, 1e-4, {"gtol": 1e-4, "ftol": 1e-8}, None),
        ("minimize", {"gtol": 1e-9}, 1e-4, {"gtol": 1e-9, "ftol": 1e-8}, None),
        ("minimize", None, 1e-15, {"gtol": 1e-12, "ftol": 1e-15}, "clipped to 1e-12: below it chi2 is rounding"),
        ("minimize", None, 1.0, {"gtol": 1e-2, "ftol": 1e-4}, "clipped to 0.01"),
        ("minimize", {"method": "SLSQP"}, 1e-6, {"method": "SLSQP", "ftol": 1e-12}, None),
        ("minimize", {"method": "Nelder-Mead"}, 1e-6, {"method": "Nelder-Mead"}, "does not reach Nelder-Mead"),
        ("differential_evolution", None, 1e-4, {"tol": 1e-4, "atol": 1e-4}, None),
        ("trf", None, 1e-6, {"gtol": 1e-10}, "clipped to 1e-10: `trf` ends there"),
        ("trf", None, 1e-11, {"gtol": 1e-11}, None),
    ],
)
def test_the_tolerance_in_an_optimisers_own_terms(method, options, asked, found, words):
    tolerance = tolerance_for(method, options, asked)
    kind = found.pop("method", None)
    assert tolerance.options.pop("method", None) == kind
    assert tolerance.options == pytest.approx(found, rel=1e-12)
    assert (words in tolerance.note) if words else tolerance.note is None


def test_it_changes_how_long_an_optimiser_works(monkeypatch):
    """The gradient that L-BFGS-B itself leaves, before the steps that finish the fit: as large as it may be."""
    left = []

    def raw(objective, x, bounds):
        left.append(abs(objective.gradient(x)[0]) * objective.parameters[0].typical)
        return x

    monkeypatch.setattr("campaign_cosmology.model.optimizers._finished", raw)
    for tolerance in (1e-2, 1e-9):
        result = ParameterOptimizer().optimize_parameters(
            "pbuf", ["cmb"], ["k_sat"], {"k_sat": 0.7}, optimizer_config={"tolerance": tolerance}
        )
        assert result.metadata["convergence"]["used"] == tolerance
    assert left[1] < 1e-3 * left[0]


def test_a_registered_optimiser_is_judged_by_it(monkeypatch):
    def near(objective_func, initial_params, bounds=None, options=None):
        assert options is None or not options
        x = initial_params * 0.998
        return OptimizeResult(x=x, fun=objective_func(x), success=True)

    monkeypatch.setitem(OPTIMIZERS, "near", near)
    result = ParameterOptimizer().optimize_parameters(
        "pbuf", ["cmb"], ["k_sat"], optimizer_config={"method": "near", "tolerance": 1e-6}
    )
    assert result.metadata["convergence"]["reached"] is False
    assert "does not reach `near`, which was registered" in result.metadata["convergence"]["note"]


@pytest.mark.parametrize("value", [0, -1e-6, "1e-6", float("nan"), float("inf"), True])
def test_a_tolerance_is_a_positive_number(value):
    with pytest.raises(ValueError, match="the tolerance is"):
        ParameterOptimizer().optimize_parameters("pbuf", ["cmb"], ["k_sat"], optimizer_config={"tolerance": value})


def test_the_configuration_file_reaches_the_optimiser(tmp_path):
    path = tmp_path / "config.json"
    section = {"optimize_parameters": ["k_sat"], "convergence_tolerance": 1e-15}
    path.write_text(json.dumps({"optimization": section}))
    result = CliRunner().invoke(cli.group, ["fit-cmb", "--config", str(path), "--dry-run", "--json"])
    convergence = json.loads(result.stdout)["optimization"]["metadata"]["convergence"]
    assert (convergence["tolerance"], convergence["used"]) == (1e-15, 1e-12)
    assert "convergence_tolerance 1e-15 is clipped to 1e-12: below it chi2 is rounding" in result.stderr
