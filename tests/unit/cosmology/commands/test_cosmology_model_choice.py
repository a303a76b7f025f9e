"""Which model a configuration means when it names none."""

import json

import pytest
from click.testing import CliRunner

from campaign.science import UsageError
from campaign_cosmology.api.parameter_store import OptimizedParameterStore
from campaign_cosmology.commands import fit as cli
from campaign_cosmology.commands.model_choice import chosen_model

DOCUMENT = """{
  "optimization": {
    "optimize_parameters": ["k_sat", "alpha"],
    "frozen_parameters": ["Tcmb", "Neff"],
    "use_precomputed": true,
    "save_results": true,
    "convergence_tolerance": 1e-6,
    "covariance_scaling": 1.0,
    "warm_start": true,
    "dry_run": false
  },
  "parameter_overrides": {
    "H0": 70.0
  }
}"""  # as the documents have it, to the letter


def call(*arguments):
    return CliRunner().invoke(cli.group, list(arguments), catch_exceptions=False)


@pytest.mark.parametrize(
    ("names", "model"),
    [
        ([], "lcdm"),
        (["H0", "Om0", "ns", "Ok0"], "lcdm"),
        (["k_sat", "alpha", "H0"], "pbuf"),
        (["n_eps"], "pbuf"),
        (["H0", "wa"], "w0wacdm"),
        (["H", "Om0"], "lcdm"),  # no model has H: the usual one says what is nearest
        (["H", "k_sat"], "pbuf"),
    ],
)
def test_the_model_is_the_one_that_has_the_parameters(names, model):
    assert chosen_model(names, {}) == model


def test_what_cannot_be_told_is_an_error():
    with pytest.raises(UsageError, match="names no model, and w0 may be of wcdm or w0wacdm") as error:
        chosen_model(["H0", "w0"], {})
    assert error.value.hint == 'add `"model": "wcdm"` to it, or --model wcdm'
    with pytest.raises(UsageError, match="no model has all of k_sat, w0") as error:
        chosen_model(["k_sat", "w0"], {})
    assert error.value.hint == "k_sat: pbuf; w0: wcdm, w0wacdm"


def test_the_documents_file_needs_no_model(tmp_path):
    path = tmp_path / "optimization_config.json"
    path.write_text(DOCUMENT)
    result = call("fit-cmb", "--config", str(path), "--cov-scale", "1.2", "--json")
    assert result.exit_code == 0
    assert "model pbuf: optimization_config.json names none, and this one has k_sat, alpha\n" in result.stderr
    document = json.loads(result.stdout)
    assert document["params"]["model_class"] == "pbuf"
    assert document["params"]["H0"] == 70.0
    assert document["optimization"]["model"] == "pbuf"
    assert set(document["optimization"]["optimized_params"]) == {"k_sat", "alpha"}
    assert document["optimization"]["covariance_scaling"] == 1.2
    assert document["optimization"]["optimized_params"]["k_sat"] == pytest.approx(1.386, abs=1e-3)  # at H0 = 70
    assert OptimizedParameterStore().get_optimization_history("lcdm") == []


def test_the_command_line_has_the_last_word(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(DOCUMENT)
    result = call("fit-cmb", "--config", str(path), "--optimize", "H0", "--dry-run", "--json")
    assert json.loads(result.stdout)["params"]["model_class"] == "lcdm"  # k_sat no longer moves
    assert "names none" not in result.stderr
    path.write_text(DOCUMENT.replace("{", '{"model": "lcdm",', 1))
    with pytest.raises(ValueError, match="`lcdm` has no parameter `k_sat`"):
        call("fit-cmb", "--config", str(path))
