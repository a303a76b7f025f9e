"""`campaign evidence` of a campaign with fits and nested sampling: closed forms of a mean with normal priors."""

import json
import math

import numpy as np
import pytest
from scipy import stats

import campaign
from campaign.cli.main import run
from campaign.drive.doors import submit
from campaign.errors import InvalidValue, UnknownName
from campaign.registry import PROBLEMS, load, names

PROBLEM = """
import equinox as eqx
import jax.numpy as jnp

from campaign.science import Normal, Parameter, Problem, ThetaSpace

Y = (0.3, 0.1, 0.7, 0.4)


class Mean(Problem):
    space: ThetaSpace = eqx.field(static=True)

    def residuals(self, theta):
        return (jnp.asarray(Y) - theta[0]) / 0.5


def near():
    return Mean(ThetaSpace((Parameter(name="x", initial=0.1, prior=Normal(0.0, 1.0)),)))


def far():
    return Mean(ThetaSpace((Parameter(name="x", initial=2.0, prior=Normal(3.0, 1.0)),)))


def endless():
    return Mean(ThetaSpace((Parameter(name="x", initial=2.0),)))
"""
Y = np.array([0.3, 0.1, 0.7, 0.4])


def exact(mean):
    """ln ∫ exp(−½ Σ (y − x)²/0.25) N(x; mean, 1) dx."""
    scatter = 0.5 * np.sum((Y - Y.mean()) ** 2) / 0.25
    return stats.norm.logpdf(Y.mean(), mean, math.sqrt(1.0 + 0.0625)) + 0.5 * math.log(2 * math.pi * 0.0625) - scatter


def stage(name, model, engine, **more):
    return {"name": name, "problem": {"name": f"model.py:{model}"}, "engine": engine, **more}


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evidence")
    (folder / "model.py").write_text(PROBLEM)
    nested, trf = {"name": "nested", "n_live": 100, "n_delete": 20}, {"name": "trf"}
    stages = [
        stage("weighed", "near", nested, trace=True),
        stage("fit", "near", trf),
        stage("fit-far", "far", trf),
        stage("fit-endless", "endless", trf),
        stage("robust", "near", {"name": "trf", "loss": "cauchy"}),
        stage("short", "far", {**nested, "max_steps": 3}),
    ]
    (folder / "m.json").write_text(json.dumps({"schema": "campaign/1", "name": "e", "stages": stages}))
    submit(folder / "m.json", folder / "results", executor="inline")
    return folder / "results"


def test_the_table_holds_every_model(directory, capsys):
    assert run(["evidence", str(directory), "--json"]) == 0
    found = {one["stage"]: one for one in json.loads(capsys.readouterr().out)["runs"]}
    values = {name: one["evidence"]["log_evidence"] for name, one in found.items()}
    assert values["fit"] == pytest.approx(exact(0.0), abs=1e-6)
    assert values["fit-far"] == pytest.approx(exact(3.0), abs=1e-6)
    weighed = found["weighed"]["evidence"]
    assert abs(weighed["log_evidence"] - exact(0.0)) < 3 * weighed["stderr"]
    best = max(value for value in values.values() if value is not None)
    assert found["fit-far"]["evidence"]["log_bayes_factor"] == pytest.approx(exact(3.0) - best, abs=1e-6)
    assert values["fit-endless"] is None
    assert "neither a prior nor two finite bounds" in found["fit-endless"]["evidence"]["note"]
    assert values["robust"] is None
    assert "`cauchy` is not the likelihood" in found["robust"]["evidence"]["note"]
    assert found["short"]["outcome"] == "budget"
    assert "of the last live points" in found["short"]["evidence"]["note"]


def test_it_is_printed_for_people(directory, capsys):
    assert run(["evidence", str(directory), "--stage", "weighed"]) == 0
    out = capsys.readouterr().out
    assert "model.py:near" in out
    assert " ± " in out
    assert run(["evidence", str(directory), "--stage", "weihged"]) == 3
    assert "weighed" in capsys.readouterr().err
    with pytest.raises(UnknownName):
        campaign.open(directory).evidence("weihged")


def test_draws_are_a_chain_and_weights_add_up(directory):
    results = campaign.open(directory)
    ids = results.table().set_index("stage")["run_id"]
    chain = results.chain(ids["weighed"])
    variance = 1.0 / (1.0 + 16.0)
    assert len(chain) == 1000
    assert chain.names == ("x",)
    assert abs(chain.flat_samples().mean() - 16.0 * Y.mean() * variance) < 5 * math.sqrt(variance / 300)
    points = results.weighted_samples(ids["weighed"])
    assert list(points.columns) == ["x", "log_likelihood", "log_likelihood_birth", "log_weight", "weight"]
    total = np.log(np.exp(points["log_weight"]).sum())
    assert total == pytest.approx(results.table().set_index("stage").loc["weighed", "metric.log_evidence"], abs=1e-9)
    with pytest.raises(InvalidValue, match="engine `nested`"):
        results.weighted_samples(ids["fit"])


def test_a_prior_without_a_volume_is_refused_before_anything_runs(tmp_path, capsys):
    (tmp_path / "model.py").write_text(PROBLEM)
    document = {"schema": "campaign/1", "name": "e", **stage("", "endless", {"name": "nested"})}
    document = {key: value for key, value in document.items() if value or key != "name"} | {"name": "e"}
    (tmp_path / "m.json").write_text(json.dumps(document))
    assert run(["validate", str(tmp_path / "m.json")]) != 0
    assert "`x` has no prior and no two finite bounds" in capsys.readouterr().err


def test_the_example_is_a_plan():
    from pathlib import Path

    manifest = Path(__file__).resolve().parents[2] / "manifests" / "evidence.json"
    assert run(["validate", str(manifest)]) == 0


def test_fits_that_are_not_read_are_counted(directory, monkeypatch):
    from campaign.analysis import evidence_table

    monkeypatch.setattr(evidence_table, "MAX_FITS", 0)
    notes = [one.evidence.note for one in evidence_table.evidence_table(campaign.open(directory))]
    assert any("fits of this stage were not read" in note for note in notes)


def test_models_compare_where_their_data_are_alike(tmp_path, capsys):
    of_data, of_models = ["problem.data", ["cmb"], ["cmb", "bao_ani"]], [["H0", "Om0"], ["H0", "Om0", "Obh2"]]
    axes = {"product": [{"grid": {"problem.data": of_data[1:]}}, {"grid": {"problem.free": of_models}}]}
    manifest = {"schema": "campaign/1", "name": "d", "problem": {"name": "cosmology"}, "engine": {"name": "trf"}}
    (tmp_path / "m.json").write_text(json.dumps({**manifest, "expand": axes}))
    submit(tmp_path / "m.json", tmp_path / "results", executor="inline")
    found = campaign.open(tmp_path / "results").evidence()
    by_data = {}
    for one in found:
        assert "problem.data" not in one.axes
        by_data.setdefault(tuple(one.data["data"]), []).append(one.evidence)
    assert {data: len(group) for data, group in by_data.items()} == {("cmb",): 2, ("cmb", "bao_ani"): 2}
    for best, other in by_data.values():
        assert best.log_bayes_factor == 0.0
        assert other.log_bayes_factor == pytest.approx(other.log_evidence - best.log_evidence)
        assert other.log_bayes_factor < 0
    assert run(["evidence", str(tmp_path / "results")]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0].split()[:3] == ["stage", "data", "model"]
    assert sum("cmb + bao_ani" in line for line in out) == 2


@pytest.mark.parametrize("name", sorted(names(PROBLEMS)))
def test_what_chooses_the_data_is_an_option(name):
    plugin = load(PROBLEMS, name)
    assert set(plugin.data) <= set(plugin.options.model_fields)
