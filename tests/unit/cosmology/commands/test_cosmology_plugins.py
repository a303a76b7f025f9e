"""What a file registers reaches commands (``--plugin``) and manifests (`registered_problem`)."""

import hashlib
import json

import numpy as np
import pytest
from click.testing import CliRunner

from campaign.problem.file import load_file_problem, own_code
from campaign.science import InvalidValue, UsageError, fit
from campaign_cosmology import DATASET_LOADERS, DEFAULTS, LIKELIHOOD_FUNCTIONS, OPTIMIZERS, build_params, run_fit
from campaign_cosmology.commands import fit as cli

MINE = """
import numpy as np

from campaign_cosmology import (
    DATASET_LOADERS, DEFAULTS, LIKELIHOOD_FUNCTIONS, chi2_generic, get_defaults, load_dataset, registered_problem
)


def load_bao():
    data = load_dataset("bao_ani")
    data["observations"] = {label: 1.01 * value for label, value in data["observations"].items()}
    data["metadata"]["name"] = "bao_ani:mine"
    return data


def load_h0():
    return {"observations": {"H0": 73.0}, "covariance": np.array([[1.0]]), "metadata": {"n_points": 1}}


def likelihood_h0(params, data):
    predictions = {"H0": params["H0"] + params["shift"]}
    return chi2_generic(predictions, data["observations"], data["covariance"]), predictions


DATASET_LOADERS["bao_ani:mine"] = load_bao
DATASET_LOADERS["h0"] = load_h0
DEFAULTS["shifted"] = {**get_defaults("lcdm"), "shift": 0.5, "model_class": "shifted"}
LIKELIHOOD_FUNCTIONS["shifted", "h0"] = likelihood_h0


def compiled():
    return registered_problem("lcdm", ["bao_ani:mine"], ["Om0"], {"H0": 68.0})


def called():
    return registered_problem("shifted", ["h0"], ["H0"], {"shift": 1.5})
"""


@pytest.fixture(autouse=True)
def nothing_stays_registered():
    before = [(registry, dict(registry)) for registry in (DATASET_LOADERS, DEFAULTS, LIKELIHOOD_FUNCTIONS, OPTIMIZERS)]
    yield
    for registry, was in before:
        registry.clear()
        registry.update(was)


@pytest.fixture
def plugin(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(MINE)
    return path


def call(*arguments):
    return CliRunner().invoke(cli.group, [str(a) for a in arguments], catch_exceptions=False)


def test_a_registered_model_and_likelihood_in_a_command(plugin):
    arguments = ("fit-cmb", "--plugin", plugin, "--model", "shifted", "--data", "h0", "--set", "shift=1.5")
    result = call(*arguments, "--optimize", "H0", "--dry-run", "--save", "--json")
    document = json.loads(result.stdout)
    assert document["params"]["H0"] == pytest.approx(73.0 - 1.5, abs=1e-6)
    digest = hashlib.sha256(MINE.encode()).hexdigest()
    assert document["provenance"]["plugins"] == {"mine.py": digest}
    assert document["optimization"]["metadata"]["plugins"] == {"mine.py": digest}
    plugin.write_text(MINE.replace("73.0", "74.0"))  # another file: other numbers, another hash
    result = call(*arguments, "--optimize", "H0", "--dry-run", "--save")
    assert " 72.5 " in result.stdout
    assert f"plug-in: mine.py, SHA-256 {hashlib.sha256(plugin.read_bytes()).hexdigest()[:16]}…" in result.stdout


def test_registered_data_in_a_command_are_compiled(plugin):
    result = call("fit-aniso", "--plugin", plugin, "--data", "bao_ani:mine", "--optimize", "Om0", "--json")
    document = json.loads(result.stdout)
    assert document["optimization"]["stderr"]["Om0"] > 0  # a curvature, as built-in data have it
    with pytest.raises(KeyError, match="unknown data set"):
        call("fit-aniso", "--plugin", plugin, "--data", "bao_ani:minee")


def test_the_same_file_in_a_manifest(plugin):
    """The problem that a manifest names has the chi2 of `run_fit` everywhere."""
    module = own_code(plugin).module()
    run = fit(module.compiled(), "trf")
    known = run_fit("lcdm", ["bao_ani:mine"], overrides={"H0": 68.0}, optimization_params=["Om0"])
    assert run.theta["Om0"] == pytest.approx(known["params"]["Om0"], rel=1e-7)
    assert 2.0 * run.loss == pytest.approx(known["metrics"]["total_chi2"], rel=1e-12)
    assert run.theta["H0"] == 68.0
    plug = load_file_problem(plugin, "called")
    problem = plug.build(plug.options())
    assert problem.space.names == ("H0",)
    run = fit(problem, "nelder-mead")
    assert run.theta["H0"] == pytest.approx(71.5, abs=1e-4)
    at = 2.0 * fit(problem, "evaluate", {"H0": 70.0}).loss
    chi2, _ = LIKELIHOOD_FUNCTIONS["shifted", "h0"](
        build_params("shifted", {"H0": 70.0, "shift": 1.5}), DATASET_LOADERS["h0"]()
    )
    assert at == pytest.approx(chi2, rel=1e-12) == 2.25


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import numpy\n\nDEFAULTS['x'] = {}\n", r"`mine\.py` line 3 cannot be imported: NameError"),
        ("def broken(:\n", r"`mine\.py` line 1 cannot be imported: SyntaxError"),
        ("import sys\nsys.exit(3)\n", r"`mine\.py` line 2 cannot be imported: SystemExit"),
    ],
)
def test_a_file_that_fails_is_named_with_its_line(plugin, text, words):
    plugin.write_text(text)
    with pytest.raises(InvalidValue, match=words):
        call("fit-cmb", "--plugin", plugin)


def test_a_file_that_is_none(plugin, tmp_path):
    with pytest.raises(UsageError, match="is not there"):
        call("fit-cmb", "--plugin", tmp_path / "other.py")
    (tmp_path / "mine.json").write_text("{}")
    with pytest.raises(UsageError, match="is no Python file"):
        call("fit-cmb", "--plugin", tmp_path / "mine.json")
    with pytest.raises(UsageError, match=r"two plug-ins are called mine\.py"):
        call("fit-cmb", "--plugin", plugin, "--plugin", plugin)
    with pytest.raises(UsageError, match="--set shift sets nothing"):
        call("fit-cmb", "--set", "shift")
    (tmp_path / "config.json").write_text('{"plugins": ["mine.py"]}')  # a configuration is data: it runs nothing
    with pytest.raises(Exception, match="unknown key `plugins`"):
        call("fit-cmb", "--config", tmp_path / "config.json")


LINEAR = """
import numpy as np

from campaign_cosmology import DATASET_LOADERS, DEFAULTS, LIKELIHOOD_FUNCTIONS, chi2_generic, get_defaults
from campaign_cosmology import gaussian_resample

DEFAULTS["line"] = {**get_defaults("lcdm"), "tilt": 1.0, "model_class": "line"}


def of(name, a, b, value, variance):
    def load():
        return {"observations": {name: value}, "covariance": np.array([[variance]]), "metadata": {"name": name}}

    def likelihood(params, data):
        predictions = {name: a * params["H0"] + b * params["tilt"]}
        return chi2_generic(predictions, data["observations"], data["covariance"]), predictions

    DATASET_LOADERS[name] = load
    LIKELIHOOD_FUNCTIONS["line", name] = likelihood
    return likelihood


for found in (of("sum", 1.0, 1.0, 72.0, 4.0), of("difference", 1.0, -1.0, 68.0, 1.0), of("tilt", 0.0, 1.0, 1.5, 0.25)):
    found.resample = gaussian_resample
of("silent", 1.0, 0.0, 70.0, 1.0)
"""
DESIGN, VALUES, VARIANCES = np.array([[1.0, 1.0], [1.0, -1.0], [0.0, 1.0]]), np.array([72.0, 68.0, 1.5]), [4, 1, 0.25]


@pytest.fixture
def line(tmp_path):
    path = tmp_path / "line.py"
    path.write_text(LINEAR)
    return path


def line_fit(line, *more):
    data = [word for name in ("sum", "difference", "tilt") for word in ("--data", name)]
    return call("fit-cmb", "--plugin", line, "--model", "line", *data, "--optimize", "H0,tilt", *more)


def closed_form(rows):
    """Best fit and covariance of weighted least squares."""
    a, w = DESIGN[rows], np.diag(1.0 / np.array(VARIANCES)[rows])
    covariance = np.linalg.inv(a.T @ w @ a)
    return covariance @ a.T @ w @ VALUES[rows], covariance


def test_profiles_of_registered_likelihoods(line):
    best, covariance = closed_form([0, 1, 2])
    found = json.loads(line_fit(line, "--profile-errors", "--profile", "tilt", "--json").stdout)
    for error, value, variance in zip(found["errors"], best, np.diag(covariance), strict=True):
        assert error["upper"] - value == pytest.approx(np.sqrt(variance), rel=1e-3)
        assert value - error["lower"] == pytest.approx(np.sqrt(variance), rel=1e-3)
    profile = found["profiles"][0]
    rises = np.array(profile["chi2"]) - profile["best"][1]
    parabola = (np.array(profile["values"]) - best[1]) ** 2 / covariance[1, 1]
    np.testing.assert_allclose(rises, parabola, atol=1e-5)
    slope = covariance[0, 1] / covariance[1, 1]
    np.testing.assert_allclose(profile["others"]["H0"], best[0] + slope * (np.array(profile["values"]) - best[1]), 1e-5)


def test_registered_data_sets_are_left_out_and_drawn_again(line):
    found = json.loads(line_fit(line, "--leave-one-out", "--bootstrap", "40", "--json").stdout)
    for i, refit in enumerate(found["refits"]["leave one data set out"]):
        best, _ = closed_form([k for k in range(3) if k != i])
        assert [refit["params"][name] for name in ("H0", "tilt")] == pytest.approx(best, rel=1e-5)
        assert refit["n_data"] == 2
    best, covariance = closed_form([0, 1, 2])
    resampling = found["resamplings"][0]
    pull = (np.array([resampling["mean"][name] for name in ("H0", "tilt")]) - best) / np.sqrt(np.diag(covariance) / 40)
    assert np.abs(pull).max() < 4
    assert np.diag(resampling["covariance"]) == pytest.approx(np.diag(covariance), rel=0.7)


def test_what_a_registered_likelihood_does_not_say_is_refused(line):
    with pytest.raises(InvalidValue, match="likelihood of `silent` does not say how its data are drawn again"):
        line_fit(line, "--data", "silent", "--bootstrap", "3")
    with pytest.raises(InvalidValue, match="has no redshift bins"):
        line_fit(line, "--jackknife")
