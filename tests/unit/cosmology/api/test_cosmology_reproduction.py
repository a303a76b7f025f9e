"""Optimisations that are repeated, remembered, aimed elsewhere and tuned."""

import json

import pytest
from click.testing import CliRunner

from campaign_cosmology import (
    OBJECTIVES,
    CosmologyWarning,
    compare,
    format_results_table,
    own_prior,
    run_fit,
    tune_optimizer,
    verify_reproducibility,
)
from campaign_cosmology.api import result_cache
from campaign_cosmology.commands import fit as cli

DATA, FREE = ["cmb", "bao_ani"], ["H0", "Om0"]


@pytest.fixture(scope="module")
def optimum():
    config = {"n_starts": 2, "seed": 3}
    return run_fit("lcdm", DATA, overrides={"H0": 68.0}, optimization_params=FREE, optimizer_config=config)[
        "optimization"
    ]


@pytest.fixture
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setattr(result_cache, "cache_folder", lambda: tmp_path / "jax")
    return tmp_path / result_cache.FOLDER


def test_an_optimisation_is_the_same_again_to_1e_8(optimum):
    for record in (optimum, json.loads(json.dumps(optimum))):
        again = verify_reproducibility(record)
        assert again.passed
        assert again.quick
        assert max(again.differences.values()) <= 1e-8
        assert set(again["differences"]) == {*FREE, "chi2"}
    assert verify_reproducibility(optimum, quick=False).passed


def test_what_is_not_the_same_is_found(optimum):
    moved = {**optimum, "optimized_params": {**optimum["optimized_params"], "H0": 68.0 * (1 + 1e-3)}}
    again = verify_reproducibility(moved)
    assert not again.passed
    assert again.differences["H0"] > 1e-5
    assert again.differences["Om0"] < 1e-8
    meta = {**optimum["metadata"], "data_sha256": {**optimum["metadata"]["data_sha256"], "cmb:cmb3": "0" * 64}}
    again = verify_reproducibility({**optimum, "metadata": meta})
    assert again.changed == ["cmb:cmb3"]
    assert not again.passed
    with pytest.raises(ValueError, match="does not say fixed_params"):
        verify_reproducibility({**optimum, "metadata": {"datasets": [], "optimizer_config": {}, "starts": []}})


def test_regression_as_a_command(tmp_path):
    def call(*arguments):
        return CliRunner().invoke(cli.group, [str(a) for a in arguments], catch_exceptions=False)

    with pytest.raises(KeyError, match="no optimisation is stored"):
        call("regression")
    printed = call("fit-cmb", "--model", "pbuf", "--optimize", "k_sat", "--json").stdout
    result = call("regression")
    assert result.exit_code == 0
    assert result.stdout.startswith("ok   pbuf on cmb:cmb3: largest difference 0 (")
    document = json.loads(printed)
    document["optimization"]["optimized_params"]["k_sat"] += 1e-6
    path = tmp_path / "results.json"
    path.write_text(json.dumps(document))
    result = call("regression", path)
    assert result.exit_code == 4
    assert "FAIL pbuf on cmb:cmb3: largest difference 1e-06 (k_sat), tolerance 1e-08" in result.stdout
    assert call("regression", path, "--tolerance", "1e-5").exit_code == 0
    path.write_text("{}")
    with pytest.raises(Exception, match="holds no optimisation"):
        call("regression", path)


def test_the_cache_gives_the_same_result_and_misses_whatever_changes(own_cache, optimum):
    def fit(**changed):
        arguments = {"overrides": {"H0": 68.0}, "optimization_params": FREE} | changed
        return run_fit("lcdm", changed.pop("data", DATA), use_cache=True, **arguments)["optimization"]

    first, second = fit(), fit()
    assert "cached" not in first["metadata"]
    assert second["metadata"].pop("cached")
    assert second == first  # errors, covariance, evaluations, time stamp: all of it
    assert len(list(own_cache.iterdir())) == 1
    for changed in (
        {"overrides": {"H0": 68.0, "ns": 0.96}},
        {"overrides": {"H0": 68.0, "constants": "exact"}},
        {"covariance_scaling": 1.1},
        {"optimizer_config": {"tolerance": 1e-7}},
        {"optimizer_config": {"bounds": {"H0": (60.0, 80.0)}}},
    ):
        assert "cached" not in fit(**changed)["metadata"]
    assert len(list(own_cache.iterdir())) == 6


def test_a_second_command_hits_though_the_first_moved_the_defaults(own_cache):
    """The optimum of the first is stored, and would be the start of the second; a start that is asked for counts."""

    def call(*arguments):
        given = ("fit-cmb", "--optimize", "H0,Om0,Obh2", *arguments)
        return CliRunner().invoke(cli.group, list(given), catch_exceptions=False)

    first, second = call(), call()
    assert "stored: defaults of lcdm" in first.stderr
    assert "taken from the cache" not in first.stderr
    assert "taken from the cache" in second.stderr
    assert "taken from the cache" not in call("--H0", "70").stderr
    assert "taken from the cache" in call("--H0", "70").stderr
    assert "taken from the cache" not in call("--ns", "0.96").stderr  # held: what is fitted is another


def test_other_data_other_code_and_damage_are_misses(own_cache, monkeypatch):
    from campaign_cosmology import DATASET_LOADERS, load_dataset

    def loader(factor):
        def load():
            data = load_dataset("bao_ani")
            data["observations"] = {label: factor * v for label, v in data["observations"].items()}
            data["metadata"]["name"] = "bao_ani:mine"
            return data

        return load

    def is_cached():
        fit = run_fit("lcdm", ["bao_ani:mine"], optimization_params=["Om0"], use_cache=True)
        return "cached" in fit["optimization"]["metadata"]

    monkeypatch.setitem(DATASET_LOADERS, "bao_ani:mine", loader(1.0))
    assert [is_cached(), is_cached()] == [False, True]
    monkeypatch.setitem(DATASET_LOADERS, "bao_ani:mine", loader(1.01))  # the same name, other numbers
    assert [is_cached(), is_cached()] == [False, True]
    for path in own_cache.iterdir():
        path.write_text(path.read_text().replace("0.2", "0.3", 1))
    assert [is_cached(), is_cached()] == [False, True]
    monkeypatch.setattr(result_cache, "code_version", lambda: "other")
    assert not is_cached()


def test_what_is_registered_is_not_remembered(own_cache, monkeypatch):
    monkeypatch.setitem(OBJECTIVES, "plain", lambda params, chi2: sum(chi2.values()))
    config = {"objective": "plain"}
    for _ in range(2):
        fit = run_fit("lcdm", ["bao_ani"], optimization_params=["Om0"], optimizer_config=config, use_cache=True)
        assert "cached" not in fit["optimization"]["metadata"]
    assert not own_cache.exists()


def test_the_command_says_that_it_remembers(own_cache):
    def call(*more):
        arguments = ["fit-aniso", "--optimize", "Om0", *more]
        return CliRunner().invoke(cli.group, arguments, catch_exceptions=False)

    one, other, third = call(), call(), call("--no-cache")
    assert "taken from the cache" not in one.stderr + third.stderr
    assert "taken from the cache; --no-cache fits again" in other.stderr
    assert one.stdout.partition("improvement")[0] == other.stdout.partition("improvement")[0]


def test_an_objective_of_ones_own_is_minimised(monkeypatch):
    """chi2 with a penalty on H0 has the optimum of chi2 with that normal prior as data."""
    seen = []

    def with_penalty(params, chi2):
        seen.append((set(params), set(chi2)))
        return sum(chi2.values()) + ((params["H0"] - 70.0) / 0.3) ** 2

    monkeypatch.setitem(OBJECTIVES, "with_penalty", with_penalty)
    config = {"objective": "with_penalty"}
    found = run_fit("lcdm", DATA, optimization_params=FREE, optimizer_config=config)
    known = run_fit("lcdm", [*DATA, own_prior({"H0": (70.0, 0.3)})], optimization_params=FREE)
    optimum = found["optimization"]
    for name in FREE:
        assert optimum["optimized_params"][name] == pytest.approx(known["params"][name], rel=1e-6)
    assert optimum["metadata"]["objective"]["end"] == pytest.approx(known["metrics"]["total_chi2"], rel=1e-9)
    assert optimum["final_chi2"] == pytest.approx(found["metrics"]["total_chi2"], rel=1e-9)  # chi2 is chi2
    assert seen[0] == ({"H0", "Om0", "Obh2", "ns", "Neff", "Tcmb", "Ok0"}, {"cmb:cmb3", "bao_ani:desi-dr2"})
    assert optimum["stderr"] == {}
    assert "chi2 was not what was minimised, no curvature: no error" in format_results_table(found)
    assert any("`with_penalty` was minimised, not chi2" in text for text in compare(found, found).caveats)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"objective": "raises"}, r"`raises` failed: ZeroDivisionError.*test_cosmology_reproduction\.py"),
        ({"objective": "words"}, "`words` failed: ValueError"),
        ({"objective": "raise"}, "unknown objective `raise`.*did you mean `raises`"),
        ({"objective": "words", "method": "trf"}, "`trf` needs residuals"),
    ],
)
def test_an_objective_that_fails_is_named(monkeypatch, config, words):
    monkeypatch.setitem(OBJECTIVES, "raises", lambda params, chi2: 1 / 0)
    monkeypatch.setitem(OBJECTIVES, "words", lambda params, chi2: "small")
    with pytest.raises(ValueError, match=words):
        run_fit("lcdm", ["bao_ani"], optimization_params=["Om0"], optimizer_config=config)


def test_tuning_proposes_what_finds_the_same_optimum():
    tuned = tune_optimizer("lcdm", DATA, FREE, methods=("minimize",), tolerances=(1e-9, 1e-2))
    assert [trial["same_optimum"] for trial in tuned.trials] == [True, True]
    fewest = min(trial["n_evaluations"] for trial in tuned.trials)
    config = tuned.optimizer_config
    assert next(t for t in tuned.trials if t["tolerance"] == config["tolerance"])["n_evaluations"] == fewest
    again = run_fit("lcdm", DATA, optimization_params=FREE, optimizer_config=config)
    assert again["optimization"]["final_chi2"] == pytest.approx(tuned.trials[0]["chi2"], abs=1e-6)
    low, high = config["bounds"]["H0"]
    sigma = again["optimization"]["stderr"]["H0"]
    assert high - low == pytest.approx(20.0 * sigma, rel=1e-4)


def test_tuning_keeps_the_bounds_of_what_has_no_error():
    with pytest.warns(CosmologyWarning, match="not constrained by the data: ns"):
        tuned = tune_optimizer("lcdm", ["bao_ani"], ["Om0", "ns"], methods=("trf",), tolerances=(1e-10,))
    assert set(tuned.optimizer_config["bounds"]) == {"Om0"}
