"""The command line and the configuration file."""

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from campaign.science import ManifestError, Unavailable, UsageError
from campaign_cosmology.api.parameter_store import OptimizedParameterStore
from campaign_cosmology.commands import fit as cli
from campaign_cosmology.commands.config import load_config, parse_config


def call(*arguments):
    result = CliRunner().invoke(cli.group, list(arguments))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_help_lists_parameters_with_bounds_and_units_and_imports_no_jax():
    result = call("fit-cmb", "--help")
    for words in ("--H0", "20 to 150 km/s/Mpc", "--k_sat", "0.1 to 2", "--cov-scale", "bao_ani:desi-dr2"):
        assert words in result.output
    code = "import sys; from campaign_cosmology.commands.fit import fit_cmb_main; sys.argv = ['fit-cmb', '--help']\n"
    code += "try:\n    fit_cmb_main()\nfinally:\n    assert 'jax' not in sys.modules and 'scipy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_the_documented_workflow():
    """Step 1 optimises on the CMB; step 2 uses the new default and says from where."""
    first = call("fit-cmb", "--model", "pbuf", "--optimize", "k_sat")
    assert "0.9727501" in first.stdout
    assert "0.00562" in first.stdout
    assert "chi2 = 0.0202797" in first.stdout
    assert "stored: defaults of pbuf: k_sat = 0.97275 (from cmb, " in first.stderr
    second = call("fit-bao", "--model", "pbuf")
    assert "0.9727501" in second.stdout
    assert "defaults of pbuf: k_sat = 0.97275 (from cmb, " in second.stdout
    listed = call("defaults")
    assert "defaults of lcdm: built in" in listed.stdout
    assert "revision 1" in listed.stdout


def test_what_an_optimum_was_found_at_is_said():
    """A value that was given takes part in what was found, and is not stored itself."""
    result = call("fit-cmb", "--optimize", "H0,Om0", "--Obh2", "0.02236", "--zstar", "HS96C")
    assert "found at Obh2 = 0.02236 (default 0.02237), recomb_method = HS96C (default PLANCK18); these" in result.stderr
    assert OptimizedParameterStore().get_model_defaults("lcdm")["Obh2"] == 0.02237


def test_an_optimum_that_fits_worse_beside_the_other_defaults_is_not_stored():
    """The documents' `--optimize k_sat --H0 70.0`: k_sat = 1.386 beside H0 = 67.4 would begin the next fit at 5267."""
    result = call("fit-cmb", "--model", "pbuf", "--optimize", "k_sat", "--H0", "70.0")
    assert "not stored: beside the other defaults chi2 would be 5267" in result.stderr
    assert OptimizedParameterStore().get_optimization_history("pbuf") == []


def test_own_data_and_a_prior_from_the_command_line(tmp_path):
    mean, cov = tmp_path / "mean.txt", tmp_path / "cov.txt"
    mean.write_text("0.5 13.3 DM_over_rs\n0.5 22.8 DH_over_rs\n1.0 23.1 DM_over_rs\n")
    cov.write_text("0.02 0 0\n0 0.2 0\n0 0 0.05\n")
    result = call(
        "fit-aniso",
        "--data",
        "prior:bbn",
        "--own",
        str(mean),
        str(cov),
        "--prior",
        "H0=70,2",
        "--optimize",
        "H0,Om0,Obh2",
    )
    assert "bao_ani:mean" in result.stdout
    assert "N = 5   k = 3" in result.stdout
    with pytest.raises(OSError, match=r"mean\.txt"):
        call("fit-aniso", "--own", str(cov), str(mean))


def test_dry_run_stores_nothing_and_json_is_json():
    result = call("fit-cmb", "--model", "pbuf", "--optimize", "k_sat", "--dry-run", "--json", "--H0", "67.5")
    document = json.loads(result.stdout)
    assert document["params"]["H0"] == 67.5
    assert document["optimization"]["convergence_status"] == "success"
    assert document["metrics"]["dof"] == 2
    assert "dry run: nothing stored" in result.stderr
    assert OptimizedParameterStore().get_optimization_history("pbuf") == []


def test_a_store_that_cannot_be_written_does_not_cost_the_fit(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CAMPAIGN_DEFAULTS", str(tmp_path / "file" / "store"))
    result = CliRunner().invoke(cli.group, ["fit-cmb", "--model", "pbuf", "--optimize", "k_sat"])
    assert "0.9727501" in result.stdout
    assert isinstance(result.exception, Unavailable)


def test_only_fits_with_cmb_data_become_defaults_unless_asked():
    arguments = ("fit-aniso", "--optimize", "H0,Om0")
    assert "not stored: only fits with CMB data" in call(*arguments).stderr
    assert "not stored, as asked" in call("fit-cmb", "--optimize", "H0", "--no-save").stderr
    assert "stored: defaults of lcdm" in call(*arguments, "--save").stderr


def test_additions(tmp_path):
    page = tmp_path / "out" / "fit.html"
    result = call(
        *("fit-joint", "--datasets", "cmb,bao_ani", "--optimize", "H0,Om0,Obh2", "--dry-run", "--starts", "2"),
        *("--profile", "H0", "--profile-errors", "--bootstrap", "3", "--jackknife", "--leave-one-out"),
        *("--compare", "pbuf", "--html", str(page)),
    )
    for words in ("profile errors", "profile of H0", "bootstrap, 3 fits", "jackknife", "leave one data set out"):
        assert words in result.stdout
    assert "lcdm − pbuf" in result.stdout
    html = page.read_text(encoding="utf-8")
    assert html.count("<svg") == 3
    assert "Pulls of bao_ani" in html
    assert "http" not in html.replace('xmlns="http', "")
    assert "<script" not in html


def test_warm_start_says_what_it_did():
    assert "no successful optimisation" in call("fit-cmb", "--warm-start").stdout
    call("fit-cmb", "--model", "pbuf", "--optimize", "k_sat")
    assert "warm start" in call("fit-cmb", "--model", "pbuf", "--warm-start").stdout


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--optimize", "H0,Om"], 3, "did you mean `Om0`"),
        (["--model", "cdmw"], 3, "unknown model `cdmw`"),
        (["--H0", "200"], 3, "valid: 20 to 150 km/s/Mpc"),
        (["--k_sat", "1"], 3, "`lcdm` has no parameter `k_sat`\nhint: it is one of the model `pbuf`"),
        (["--optimize", "h0"], 3, "did you mean `H0`? Valid: H0, Om0, Obh2, ns, Ok0\n"),
        (["--optimize", "Tcmb"], 3, "`Tcmb` is set, not fitted"),
        (["--optimize", "H0", "--starts", "0"], 3, "n_starts is 0"),
        (["--starts", "3"], 2, "--starts needs parameters that move"),
        (["--optimize", "H0", "--bootstrap", "1"], 3, "bootstrap samples is 1"),
        (["--optimize", "H0", "--jackknife"], 3, "no blocks for a jackknife"),
        (["--optimize", "H0", "--leave-one-out"], 3, "only `cmb:cmb3`"),
        (["--optimize", "H0", "--profile", "Om0"], 3, "does not move"),
        (["--optimize", "H0", "--compare", "LCDM"], 3, "did you mean `lcdm`"),
        (["--H0", "nan"], 3, "out of bounds"),
        (["--H0", "x"], 2, "not a valid float"),
        (["--data", "planck"], 3, "unknown data set"),
        (["--data", "bao_ani", "--data", "bao_ani:boss-dr12"], 3, "overlap"),
        (["--cov-scale", "-1"], 3, "covariance scale"),
        (["--zstar", "HS97"], 3, "did you mean `HS96`"),
        (["--profile", "H0"], 3, "add --optimize"),
        (["--config", "nowhere.json"], 2, "cannot be read"),
        (["--hubble", "70"], 2, "no such option"),
    ],
)
def test_errors_are_messages_with_exit_codes(arguments, code, words, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["fit-cmb", *arguments])
    with pytest.raises(SystemExit) as stop:
        cli.fit_cmb_main()
    assert stop.value.code == code
    captured = capsys.readouterr()
    assert words in captured.err
    assert "Traceback" not in captured.err
    assert captured.out == ""
    assert call("defaults").stdout.count("built in") == 4  # a request that is refused has stored nothing


CONFIG = {
    "optimization": {
        "optimize_parameters": ["k_sat", "alpha"],
        "frozen_parameters": ["Tcmb", "Neff", "alpha"],
        "use_precomputed": True,
        "save_results": True,
        "convergence_tolerance": 1e-6,
        "covariance_scaling": 1.0,
        "warm_start": True,
        "dry_run": False,
    },
    "parameter_overrides": {"H0": 67.4},
}


def test_the_documents_configuration_file(tmp_path):
    path = tmp_path / "optimization_config.json"
    path.write_text(json.dumps(CONFIG))
    document = json.loads(call("fit-cmb", "--model", "pbuf", "--config", str(path), "--json").stdout)
    assert list(document["optimization"]["optimized_params"]) == ["k_sat"]  # frozen wins over optimised
    # the command line beats the file
    arguments = ("fit-cmb", "--model", "pbuf", "--config", str(path), "--H0", "67.5", "--cov-scale", "4", "--json")
    document = json.loads(call(*arguments).stdout)
    assert document["params"]["H0"] == 67.5
    assert document["optimization"]["covariance_scaling"] == 4.0
    assert document["optimization"]["stderr"]["k_sat"] == pytest.approx(2 * 0.0056, rel=0.05)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"parameter_overrides": {"H0": "seventy"}}, TypeError, "`H0` = 'seventy' is a str, not a number"),
        ({"parameter_overrides": {"H0": None}}, TypeError, "`H0` = None is a NoneType, not a number"),
        ({"optimizer": {"bounds": {"k_sat": [0.5]}}}, ManifestError, "/optimizer/bounds/k_sat"),
        ({"optimizer": {"method": "minimise"}}, ValueError, "did you mean `minimize`"),
    ],
)
def test_wrong_values_in_the_configuration(change, error, words, tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**CONFIG, **change}))
    with pytest.raises(error, match=words):
        call("fit-cmb", "--model", "pbuf", "--config", str(path))


def test_a_key_that_appears_twice_is_refused(tmp_path):
    path = tmp_path / "config.json"
    path.write_text('{"model": "lcdm", "model": "pbuf"}')
    with pytest.raises(UsageError, match="`model` appears twice"):
        load_config(path)


def test_parameters_that_are_all_frozen_are_said(tmp_path):
    path = tmp_path / "config.json"
    path.write_text('{"optimization": {"optimize_parameters": ["H0"], "frozen_parameters": ["H0"]}}')
    result = call("fit-cmb", "--config", str(path))
    assert "evaluated, not fitted" in result.stderr
    assert "lcdm on cmb:cmb3: evaluated" in result.stdout


def test_a_page_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"the page .*fit\.html cannot be written"):
        call("fit-cmb", "--html", str(tmp_path / "file" / "fit.html"))


def test_a_comparison_says_what_moved_and_what_was_held():
    arguments = ("fit-joint", "--datasets", "cmb,bao_ani", "--dry-run", "--optimize")
    text = call(*arguments, "H0,Om0,Obh2", "--compare", "pbuf").stdout
    assert "pbuf on the same data: H0 68." in text
    assert "k_sat = 0.9762 is held" in text
    text = call(*arguments, "H0,Om0,Obh2,k_sat", "--model", "pbuf", "--compare", "lcdm").stdout
    assert "ΔAIC = -1.81917   ΔBIC = -1.04658" in text  # the golden fits
    assert "k_sat is at its lower bound" in text


def test_a_typo_in_the_configuration_is_found_with_its_place(tmp_path):
    path = tmp_path / "config.json"
    wrong = {"optimization": {"optimise_parameters": ["H0"], "covariance_scaling": -1.0}, "parameter_override": {}}
    path.write_text(json.dumps(wrong))
    with pytest.raises(ManifestError) as error:
        load_config(path)
    text = str(error.value)
    assert "/optimization/optimise_parameters: unknown key" in text
    assert "did you mean `optimize_parameters`?" in text
    assert "/parameter_override: unknown key `parameter_override`; did you mean `parameter_overrides`?" in text
    assert "/optimization/covariance_scaling" in text
    assert len(error.value.diagnostics) == 3
    path.write_text('{"model": "lcdm",}')
    with pytest.raises(UsageError, match=r"config\.json:1:"):
        load_config(path)
    path.write_bytes(b'\xff\xfe{"model"')
    with pytest.raises(UsageError, match="not UTF-8 text"):
        load_config(path)
    with pytest.raises(ManifestError, match=r"/: an object is needed, not \[1\]"):
        parse_config([1])
    assert parse_config({}).optimization.convergence_tolerance == 1e-6
