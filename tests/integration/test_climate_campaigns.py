"""The campaigns of manifests/climate: what they plan, and what reduced ones give, against tabulated numbers."""

import json
from pathlib import Path

import numpy as np
import pandas
import pytest
from scipy import stats

import campaign
from campaign.cli.main import run
from campaign.manifest.load import load
from campaign.schedule.planning import plan_stage
from campaign_climate import truth
from campaign_climate.model.options import TwoLayerOptions, space

ROOT = Path(__file__).resolve().parents[2]
MANIFESTS = ROOT / "manifests" / "climate"
GOLDEN = json.loads((ROOT / "tests" / "oracle" / "data" / "climate" / "twolayer.json").read_text())["cmip6_ar6ch7"]


def submitted(folder, document):
    """Run a manifest in this process."""
    path = folder / "manifest.json"
    path.write_text(json.dumps(document))
    assert run(["submit", str(path), "-d", str(folder / "r"), "--executor", "inline", "--quiet"]) == 0
    return folder / "r"


@pytest.mark.parametrize(
    ("name", "n_runs", "n_programs"),
    [("calibration", 32, 2), ("prior_ensemble", 3 * 65536, 3), ("cmip6", 105, 3), ("perfect_model", 500, 1)],
)
def test_what_the_manifests_plan(name, n_runs, n_programs):
    manifest = load(MANIFESTS / f"{name}.json")
    part = plan_stage(manifest, manifest.stages[0])
    assert part.header["n_runs"] == n_runs
    assert len(part.header["programs"]) == n_programs


def test_sensitivities_of_cmip6_models(tmp_path):
    document = json.loads((MANIFESTS / "cmip6.json").read_text())
    document["stages"][0]["expand"]["product"][0] = {"grid": {"problem.forcing": ["ssp245"]}}
    table = pandas.read_parquet(submitted(tmp_path, document) / "tables" / "summary.parquet").set_index("tag.model")
    assert len(table) == 35
    for model, row in table.iterrows():
        assert row["derived.ecs"] == pytest.approx(GOLDEN[model]["ecs"], rel=1e-9)
        assert row["derived.tcr"] == pytest.approx(GOLDEN[model]["T70_linear_ramp_to_F2x"], rel=1e-9)
        assert row["derived.warming_2081_2100"] > row["derived.warming_1995_2014"] > 0


def test_weighted_members_are_the_constrained_projection(tmp_path):
    """Weights exp(−loss) move the ensemble towards what was observed."""
    document = json.loads((MANIFESTS / "prior_ensemble.json").read_text())
    product = document["stages"][0]["expand"]["product"]
    product[0] = {"grid": {"problem.forcing": ["ssp245"]}}
    product[1]["sample"]["n"] = 256
    table = pandas.read_parquet(submitted(tmp_path, document) / "tables" / "summary.parquet")
    weights = np.exp(-(table["loss"] - table["loss"].min()))
    before, after = (
        table["derived.rmse_surface_temperature"].mean(),
        np.average(table["derived.rmse_surface_temperature"], weights=weights),
    )
    assert after < 0.9 * before


@pytest.mark.long
def test_truths_have_uniform_ranks_in_their_posteriors(tmp_path):
    document = json.loads((MANIFESTS / "perfect_model.json").read_text())
    stage = document["stages"][0]
    stage["expand"] = {"grid": {"problem.synthetic": {"range": [1, 25, 1]}}}
    stage["engine"]["steps"] = 2000
    handle = campaign.open(submitted(tmp_path, document))
    options = {name: value for name, value in stage["problem"].items() if name != "name"}
    own = space(TwoLayerOptions(**options))
    ranks = {name: [] for name in own.free_names}
    for _, row in handle.table().iterrows():
        wanted = truth(own, int(row["problem.synthetic"]))
        draws = handle.trace(row["run_id"])["theta"]
        for name in ranks:
            values = draws.sel(parameter=name).values[len(draws["step"]) // 4 :]
            ranks[name].append((values < wanted[name]).mean())
    for own_ranks in ranks.values():
        assert stats.kstest(own_ranks, "uniform").pvalue > 1e-3
