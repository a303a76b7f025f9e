"""What people register may be wrong in many ways: each is one message that says what, where and what is valid."""

import logging

import numpy as np
import pytest

from campaign.science import CampaignError
from campaign_cosmology import (
    D_M,
    DATASET_LOADERS,
    DEFAULTS,
    LIKELIHOOD_FUNCTIONS,
    OPTIMIZERS,
    CosmologyWarning,
    ParameterOptimizer,
    build_params,
    chi2_generic,
    compute_metrics,
    get_defaults,
    likelihood_cmb,
    load_dataset,
    log_diagnostics,
    own_prior,
    run_fit,
)
from campaign_cosmology.physics.quadrature import distance_grid

ONE = {"observations": {"H0": 73.0}, "covariance": np.array([[1.0]]), "metadata": {"n_points": 1}}


def changed(**metadata):
    data = load_dataset("bao")
    data["metadata"] = {**data["metadata"], "name": "bao:mine", **metadata}
    return data


@pytest.mark.parametrize(
    ("loader", "words"),
    [
        (lambda: None, "returned a NoneType, not a data set"),
        (lambda: 1 / 0, r"loader of `bao:mine` failed: ZeroDivisionError: .*test_cosmology_faults\.py:\d+"),
        (lambda: {"observations": {"H0": 1.0}}, "does not have `covariance`, `metadata`"),
        (lambda: {**ONE, "observations": {"H0": "high"}}, "not made of numbers"),
        (lambda: {**ONE, "observations": 73.0}, "no observations"),
        (lambda: {**ONE, "covariance": [[1.0], [1.0, 2.0]]}, "not made of numbers"),
        (lambda: {**ONE, "metadata": None}, "metadata are a NoneType"),
        (lambda: changed(z=[-0.1, 0.15]), r"`z` of row 0 is -0\.1"),
        (lambda: changed(z=[0.106, None]), "`z` of row 1 is nan"),
        (lambda: changed(z=[0.106]), r"`z` in the metadata is \[0\.106\]"),
        (lambda: changed(quantity=["DV_over_rd", "DV_over_rs"]), "measures `DV_over_rs`.*did you mean `DV_over_rd`"),
        (lambda: changed(quantity=["DV_over_rd"]), "`quantity` has 1 entries for 2 rows"),
    ],
)
def test_data_that_are_none(monkeypatch, loader, words):
    monkeypatch.setitem(DATASET_LOADERS, "bao:mine", loader)
    with pytest.raises(ValueError, match=words) as error:
        run_fit("lcdm", ["bao:mine"])
    text = f"{error.value}"
    assert "\n" not in text


def test_metadata_that_only_describe_may_be_missing(monkeypatch):
    data = load_dataset("bao")
    metadata = {key: data["metadata"][key] for key in ("quantity", "z")}
    monkeypatch.setitem(DATASET_LOADERS, "bao:mine", lambda: {**data, "metadata": metadata})
    chi2 = [run_fit("lcdm", [name])["metrics"]["total_chi2"] for name in ("bao:mine", "bao")]
    assert chi2[0] == chi2[1]


@pytest.mark.parametrize(
    ("likelihood", "words"),
    [
        (lambda params, data: 1.0, "returned a float, not two values; return \\(chi2, predictions\\)"),
        (lambda params, data: None, "returned a NoneType"),
        (lambda params, data: ("small", {"H0": 1.0}), r"returned \(a str, a dict\)"),
        (lambda params, data: (1.0, {"H0": "high"}), r"returned \(a float, a dict\)"),
        (lambda params, data: (1.0, {"h": 0.7}), "predicts h; a prediction for each of its 1 observations"),
        (lambda params, data: params["nothing"], r"failed: KeyError: .*test_cosmology_faults\.py:\d+ in `<lambda>`"),
    ],
)
@pytest.mark.parametrize("free", [None, ["H0"]])
def test_likelihoods_that_are_none(monkeypatch, likelihood, words, free):
    monkeypatch.setitem(DATASET_LOADERS, "h0", lambda: ONE)
    monkeypatch.setitem(LIKELIHOOD_FUNCTIONS, ("lcdm", "h0"), likelihood)
    if free and "predicts" in words:  # the fit itself needs chi2 only, which must depend on H0
        return
    with pytest.raises(ValueError, match=words):
        run_fit("lcdm", ["h0"], optimization_params=free)


def test_predictions_without_labels_belong_to_observations_in_their_order(monkeypatch):
    data = {"observations": [73.0, 0.3], "covariance": np.diag([1.0, 0.01]), "metadata": {}}

    def likelihood(params, data):
        predictions = np.array([params["H0"], params["Om0"]])
        return chi2_generic(predictions, data["observations"], data["covariance"]), predictions

    monkeypatch.setitem(DATASET_LOADERS, "two", lambda: data)
    monkeypatch.setitem(LIKELIHOOD_FUNCTIONS, ("lcdm", "two"), likelihood)
    block = run_fit("lcdm", ["two"], overrides={"H0": 70.0, "Om0": 0.4})["results"]["two"]
    assert block["residuals"] == pytest.approx([-3.0, 0.1])
    assert block["chi2"] == pytest.approx(9.0 + 1.0)


@pytest.mark.filterwarnings("ignore:1 parameters, 1 data")
def test_a_model_without_a_value_somewhere_is_turned_away_from(monkeypatch):
    """The optimum, 69, lies beside where the likelihood has no value: chi2_generic refuses NaN, the fit goes on."""

    def likelihood(params, data):
        predictions = {"H0": params["H0"] + 4.0 if params["H0"] > 66.0 else np.nan}
        return chi2_generic(predictions, data["observations"], data["covariance"]), predictions

    monkeypatch.setitem(DATASET_LOADERS, "h0", lambda: ONE)
    monkeypatch.setitem(LIKELIHOOD_FUNCTIONS, ("lcdm", "h0"), likelihood)
    result = run_fit("lcdm", ["h0"], optimization_params=["H0"])
    assert result["params"]["H0"] == pytest.approx(69.0, abs=1e-5)


@pytest.mark.filterwarnings("ignore:1 parameters, 1 data")
@pytest.mark.parametrize(
    ("returned", "chi2"),
    [(lambda x: np.array([69.0]), 16.0), (lambda x: [69.0], 16.0), (lambda x: {"x": [69.0], "fun": -5.0}, 16.0)],
)
def test_an_optimiser_may_return_an_array(monkeypatch, returned, chi2):
    """chi2 at its end is computed, whatever it says of it: (69 − 73)² = 16."""
    monkeypatch.setitem(
        DATASET_LOADERS, "h0", lambda: {**ONE, "dataset_type": "prior", "metadata": {"quantity": ["H0"]}}
    )
    monkeypatch.setitem(OPTIMIZERS, "mine", lambda objective, x, bounds=None, options=None: returned(x))
    result = run_fit("lcdm", ["h0"], optimization_params=["H0"], optimizer_config={"method": "mine"})
    optimum = result["optimization"]
    assert optimum["optimized_params"] == {"H0": 69.0}
    assert optimum["final_chi2"] == pytest.approx(chi2)
    assert optimum["convergence_status"] == "success"
    assert optimum["metadata"]["convergence"]["reached"] is False  # it ended, and not in an optimum


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        (lambda x: None, "returned a NoneType, not 1 parameters"),
        (lambda x: np.zeros(3), r"returned an array of shape \(3,\), not 1 parameters"),
        (lambda x: {"best": 1.0}, "returned a dict"),
        (lambda x: 1 / 0, "optimiser `mine` failed: ZeroDivisionError"),
    ],
)
def test_optimisers_that_are_none(monkeypatch, returned, words):
    monkeypatch.setitem(OPTIMIZERS, "mine", lambda objective, x, bounds=None, options=None: returned(x))
    with pytest.raises(ValueError, match=words):
        run_fit("lcdm", ["cmb"], optimization_params=["H0"], optimizer_config={"method": "mine"})


def test_an_end_that_is_not_a_number_is_rejected(monkeypatch):
    monkeypatch.setitem(OPTIMIZERS, "mine", lambda objective, x, bounds=None, options=None: np.array([np.nan]))
    result = run_fit("lcdm", ["cmb"], optimization_params=["H0"], optimizer_config={"method": "mine"})
    assert result["optimization"]["convergence_status"] == "failed"
    assert result["params"]["H0"] == 67.4


def test_the_documents_new_model_is_logged(monkeypatch, caplog):
    """The extension example of the documents, to the letter: two parameters of ΛCDM, two new ones, a class."""
    new = {"H0": 67.4, "Om0": 0.315, "new_param1": 1.0, "new_param2": 0.5, "model_class": "new_model"}
    monkeypatch.setitem(DEFAULTS, "new_model", new)
    params = build_params("new_model")
    result = run_fit("new_model", ["cmb", "bao"])
    with caplog.at_level(logging.INFO, logger="campaign.cosmology"):
        log_diagnostics(params, {"R": 1.75, "word": "x"})
        log_diagnostics({"H0": 70.0, "Om0": 0.3, "model_class": "new_model"}, {})
    lines = [r.getMessage() for r in caplog.records]
    lcdm = build_params("lcdm")
    assert f"z_recomb={lcdm['z_recomb']:.4f} (PLANCK18)" in lines[0]
    assert f"r_s_drag={lcdm['r_s_drag']:.4f} Mpc" in lines[0]
    assert lines[1] == "[PREDICTIONS] R=1.75 word=x"
    assert f"Omh2={0.3 * 0.49:.6g}" in lines[2]
    known = run_fit("lcdm", ["cmb", "bao"])["metrics"]["total_chi2"]
    assert result["metrics"]["total_chi2"] == pytest.approx(known, rel=1e-12)


@pytest.mark.parametrize("z", [-0.1, [0.5, -1e-9], np.nan, np.inf])
def test_a_redshift_without_a_distance(z):
    with pytest.raises(ValueError, match="has no distance"):
        D_M(z, build_params("lcdm"))
    with pytest.raises(ValueError, match="has no distance"):
        distance_grid(np.atleast_1d(np.asarray(z, float)), 1090.0)
    assert D_M(0.0, build_params("lcdm")) == 0.0


def test_chi2_of_what_is_no_number_or_no_covariance():
    one, covariance = {"R": 1.0, "l_A": 2.0}, np.array([[1.0, 0.5], [0.5, 2.0]])
    for predictions, observations, words in (
        ({"R": np.nan, "l_A": 2.0}, one, "the prediction `R` is nan"),
        ([1.0, np.inf], np.array([1.0, 2.0]), "the prediction `1` is inf"),
        (one, {"R": 1.0, "l_A": np.nan}, "the observation `l_A` is nan"),
    ):
        with pytest.raises(ValueError, match=words):
            chi2_generic(predictions, observations, covariance)
    with pytest.raises(ValueError, match=r"not symmetric: \[0, 1\] is 0\.9, \[1, 0\] is 0\.5"):
        chi2_generic(one, one, np.array([[1.0, 0.9], [0.5, 2.0]]))
    with pytest.raises(ValueError, match="not symmetric"):  # in units in which everything is tiny as well
        chi2_generic(one, one, 1e-16 * np.array([[1.0, 0.9], [0.5, 2.0]]))
    with pytest.raises(ValueError, match="not finite"):
        chi2_generic(one, one, np.array([[1.0, np.nan], [np.nan, 2.0]]))
    almost = covariance + np.array([[0.0, 1e-14], [0.0, 0.0]])
    assert chi2_generic({"R": 2.0, "l_A": 2.0}, one, almost) == pytest.approx(np.linalg.inv(covariance)[0, 0])


def test_anchored_supernovae_are_not_said_to_carry_no_h0(monkeypatch):
    data = load_dataset("sn")
    anchor = [35.0, 36.0, *[None] * (len(data["observations"]) - 2)]
    data["metadata"] = {**data["metadata"], "name": "sn:anchored", "anchor": anchor}
    monkeypatch.setitem(DATASET_LOADERS, "sn:anchored", lambda: data)
    notes = run_fit("lcdm", ["sn:anchored"])["provenance"]["notes"]
    assert any("2 of them lie in hosts of known distance, and so give H0" in note for note in notes)
    assert not any("carry no H0" in note for note in notes)
    assert any("carry no H0" in note for note in run_fit("lcdm", ["sn"])["provenance"]["notes"])


def test_defaults_without_a_model_class_are_named(monkeypatch):
    monkeypatch.setitem(DEFAULTS, "classless", {k: v for k, v in get_defaults("lcdm").items() if k != "model_class"})
    assert run_fit("classless", ["bao"])["params"]["H0"] == 67.4


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: build_params("lcdm", ["H0"]), TypeError, "overrides are a list"),
        (lambda: load_dataset(["cmb"]), KeyError, "unknown data set"),
        (lambda: likelihood_cmb(build_params("lcdm"), None), ValueError, "data set is a NoneType"),
        (lambda: likelihood_cmb(None, load_dataset("cmb")), ValueError, "parameters are a NoneType"),
        (lambda: compute_metrics(1.0, "3", ["bao_ani"]), ValueError, "number of parameters is '3'"),
        (lambda: optimise_h0(optimizer_config=[1]), ValueError, "optimizer_config is a list"),
        (lambda: optimise_h0(optimizer_config={"bounds": [1]}), ValueError, r"optimizer_config\['bounds'\] is \[1\]"),
        (lambda: optimise_h0(optimizer_config={"options": [1]}), ValueError, r"optimizer_config\['options'\] is \[1\]"),
        (lambda: optimise_h0(["a"]), TypeError, "starting values are a list"),
    ],
)
def test_arguments_of_a_wrong_kind(call, error, words):
    with pytest.raises(error, match=words) as raised:
        call()
    assert isinstance(raised.value, CampaignError)


def optimise_h0(start=None, **more):
    return ParameterOptimizer().optimize_parameters("lcdm", ["cmb"], ["H0"], start, **more)


def test_a_setting_moves_where_a_prior_measures_it():
    """Neff beside CMB priors: refused alone; with N = 3.0 ± 0.2 as data it is found there, with that error."""
    free = ["H0", "Om0", "Obh2", "Neff"]
    with pytest.raises(ValueError, match=r"`Neff` is set, not fitted.*--prior Neff=MEAN,SD"):
        run_fit("lcdm", ["cmb"], optimization_params=free)
    with pytest.warns(CosmologyWarning, match="4 parameters, 4 data"):
        result = run_fit("lcdm", ["cmb", own_prior({"Neff": (3.0, 0.2)})], optimization_params=free)
    assert result["params"]["Neff"] == pytest.approx(3.0, abs=1e-6)
    assert result["optimization"]["stderr"]["Neff"] == pytest.approx(0.2, rel=1e-6)
    assert any("derived with Neff held" in note for note in result["provenance"]["notes"])
