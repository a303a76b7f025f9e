"""Blinded fits in Python and from the command line: truth plus shift, chi2 alike, and the truth nowhere."""

import dataclasses
import json
import re

import numpy as np
import pytest
from click.testing import CliRunner

from campaign.blinding import key_of, shift
from campaign_cosmology import (
    LIKELIHOOD_FUNCTIONS,
    CosmologyWarning,
    H,
    OptimizedParameterStore,
    format_results_table,
    own_data,
    parameter_difference,
    profile_error,
    registered_problem,
    run_fit,
    select,
    verify_reproducibility,
)
from campaign_cosmology.api import result_cache
from campaign_cosmology.commands import fit as cli

DATA, FREE = ["cmb", "bao_ani"], ["H0", "Om0", "Obh2"]
KEY = key_of("correct horse battery")
SCALE = {"H0": 3.0, "Om0": 0.02}
BLIND = {"key": KEY, "scale": SCALE}
SHIFT = {name: shift(KEY, name, size) for name, size in SCALE.items()}
TRUTH = {"H0": 68.6352439, "Om0": 0.3010207}  # golden fit of CMB + DESI DR2, and what follows from it
FOLLOWS = {"Omh2": 0.3010207 * 0.686352439**2, "OL0": 0.6988907}


def numbers_in(value):
    """Every number inside dictionaries, lists, arrays and dataclasses; those in texts as well."""
    if dataclasses.is_dataclass(value):
        value = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return [x for k, v in value.items() if k != "optimization_time" for x in numbers_in(v)]
    if isinstance(value, list | tuple | np.ndarray):
        return [x for v in value for x in numbers_in(v)]
    if isinstance(value, str):
        text = re.sub(r'"optimization_time": *[\d.e+-]+', "", value)  # seconds are whatever they are
        return [float(word) for word in re.findall(r"(?<![\w.])\d+\.\d+(?:e-?\d+)?(?![\w.])", text)]
    return [float(value)] if isinstance(value, int | float | np.generic) and not isinstance(value, bool) else []


def holds_truth(value):
    numbers = np.array(numbers_in(value))
    return [n for n, true in {**TRUTH, **FOLLOWS}.items() if np.isclose(numbers, true, rtol=2e-6, atol=0).any()]


@pytest.fixture(scope="module")
def blinded():
    return run_fit("lcdm", DATA, optimization_params=FREE, blind=BLIND)


def test_values_are_truth_plus_shift_and_the_rest_is_the_truths(blinded):
    plain = run_fit("lcdm", DATA, optimization_params=FREE)
    for name, by in SHIFT.items():
        assert blinded["params"][name] - by == pytest.approx(plain["params"][name], rel=1e-7)
        assert blinded["params"][name] - by == pytest.approx(TRUTH[name], rel=3e-7)
        assert abs(by) > 2e-3 * SCALE[name]
    assert blinded["blinded"] == ["H0", "Om0"]
    assert blinded["params"]["Obh2"] == pytest.approx(plain["params"]["Obh2"], rel=1e-7)
    assert blinded["metrics"]["total_chi2"] == pytest.approx(14.731138579, abs=1e-7)
    for name in DATA:
        assert blinded["results"][name]["chi2"] == pytest.approx(plain["results"][name]["chi2"], rel=1e-6)
    for name in FREE:
        errors = (one["optimization"]["stderr"][name] for one in (blinded, plain))
        assert next(errors) == pytest.approx(next(errors), rel=1e-6)
    assert set(holds_truth(plain)) == {*TRUTH, *FOLLOWS}  # the search would find it


def test_the_truth_is_nowhere_in_the_result(blinded):
    assert holds_truth(blinded) == []
    assert holds_truth(format_results_table(blinded)) == []
    assert "blinded, shown shifted: H0, Om0" in format_results_table(blinded)
    for block in blinded["results"].values():
        assert block["predictions"] == block["pulls"] == {}
        assert len(block["residuals"]) == 0
    assert "derived" not in blinded
    parts = run_fit("lcdm", DATA, "individual", optimization_params=["H0", "Om0"], blind=BLIND)
    assert parts["results"]["cmb"]["blinded"] == parts["blinded"] == ["H0", "Om0"]
    assert parts["results"]["cmb"]["predictions"] == {}


def test_nothing_follows_from_shifted_parameters(blinded):
    with pytest.raises(ValueError, match="H0, Om0: these parameters are blinded"):
        H(0.5, blinded["params"])
    with pytest.raises(ValueError, match="what is asked for is not"):
        select("lcdm", DATA, FREE, blinded["params"])


def test_errors_and_repetitions_are_shifted_alike(blinded):
    selection = select("lcdm", DATA, FREE, blinded["params"], blind=BLIND)
    error = profile_error(selection, blinded["optimization"]["optimized_params"], "H0")
    assert error.upper - SHIFT["H0"] == pytest.approx(68.941, abs=2e-3)
    assert selection.objective.problem.space["H0"].unit == "km/s/Mpc, blinded"
    assert verify_reproducibility(json.loads(json.dumps(blinded["optimization"]))).passed


def test_a_problem_for_samplers_is_shifted_as_well(blinded):
    problem = registered_problem("lcdm", DATA, FREE, blind=BLIND)
    theta = np.array([blinded["params"][p.name] for p in problem.space.parameters])
    residuals = np.asarray(problem.residuals(theta))
    assert residuals @ residuals == pytest.approx(14.731138579, abs=1e-7)
    assert problem.predict(theta) == {}
    assert set(problem.derived(theta)) == {"chi2_cmb", "chi2_bao_ani"}


def test_fits_are_compared_where_they_are_blinded_alike():
    one, other = (run_fit("lcdm", [n], optimization_params=["Om0"], blind=_of("Om0")) for n in ("sn", "bao_ani"))
    plain = [run_fit("lcdm", [name], optimization_params=["Om0"]) for name in ("sn", "bao_ani")]
    assert parameter_difference(one, other).chi2 == pytest.approx(parameter_difference(*plain).chi2, rel=1e-4)
    with pytest.raises(ValueError, match="`Om0` is not blinded alike"):
        parameter_difference(one, plain[1])


def _of(name):
    return {"key": KEY, "scale": {name: SCALE[name]}}


def test_data_of_ones_own_are_blinded(tmp_path, blinded):
    (tmp_path / "mean.txt").write_text("H0 70.0\n")
    (tmp_path / "cov.txt").write_text("4.0\n")
    name = own_data(tmp_path / "mean.txt", tmp_path / "cov.txt")
    with pytest.warns(CosmologyWarning, match="dof = 0"):
        result = run_fit("lcdm", [name], optimization_params=["H0"], blind=_of("H0"))
    assert result["params"]["H0"] - SHIFT["H0"] == pytest.approx(70.0, abs=1e-5)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"optimization_params": ["Om0"]}, "`H0` is blinded and does not move"),
        ({"optimization_params": None}, "`H0` is blinded and does not move"),
        ({"blind": {"key": "phrase", "scale": {"H0": 1.0}}}, "`blind`: key"),
        ({"blind": {"scale": {"H0": 1.0}}}, "`blind`: key"),
        ({"blind": "phrase"}, "`blind`"),
    ],
)
def test_what_cannot_be_blinded_is_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        run_fit("lcdm", ["bao_ani"], **{"optimization_params": ["H0", "Om0"], "blind": BLIND, **changes})


def test_a_registered_likelihood_is_not_blinded(monkeypatch):
    monkeypatch.setitem(LIKELIHOOD_FUNCTIONS, ("lcdm", "bao"), lambda params, data: (params["H0"], {}))
    with pytest.raises(ValueError, match="it is not blinded"):
        run_fit("lcdm", ["bao"], optimization_params=["H0"], blind=_of("H0"))


def test_shifted_values_do_not_become_defaults_and_true_ones_are_no_start(blinded):
    store = OptimizedParameterStore()
    with pytest.raises(ValueError, match="do not become defaults"):
        store.update_model_defaults(
            "lcdm", blinded["optimization"]["optimized_params"], blinded["optimization"]["metadata"]
        )
    store.update_model_defaults("lcdm", TRUTH, {"source_dataset": "cmb"})
    assert holds_truth(run_fit("lcdm", DATA, optimization_params=FREE, blind=BLIND)) == []


def test_the_command_line_takes_it_from_the_configuration(tmp_path, monkeypatch, blinded):
    monkeypatch.setattr(result_cache, "cache_folder", lambda: tmp_path / "cache" / "jax")
    document = {"datasets": DATA, "optimization": {"optimize_parameters": FREE}, "blind": BLIND}
    (tmp_path / "blind.json").write_text(json.dumps(document))
    page = tmp_path / "page.html"
    arguments = [
        "fit-joint",
        "--config",
        str(tmp_path / "blind.json"),
        "--json",
        "--html",
        str(page),
        "--profile",
        "H0",
    ]
    for _ in range(2):
        said = CliRunner().invoke(cli.group, [*arguments, "--compare", "pbuf"], catch_exceptions=False)
        found = json.loads(said.stdout)
        assert found["params"]["H0"] == pytest.approx(blinded["params"]["H0"], rel=1e-7)
        assert found["blinded"] == found["other"]["blinded"] == ["H0", "Om0"]
        assert holds_truth(found) == []
    assert "taken from the cache" in said.stderr
    assert "not stored: H0, Om0 shown shifted (blinded)" in said.stderr
    files = [file for file in tmp_path.rglob("*") if file.is_file() and file.suffix in (".json", ".html")]
    assert len(files) >= 3  # configuration, page, cache
    assert "blinded: shown shifted" in page.read_text()
    for file in files:
        assert holds_truth(file.read_text()) == []
