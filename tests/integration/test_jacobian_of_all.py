"""Derivatives at every point that an earlier stage found, and their columns by block."""

import json

import numpy as np

import campaign
import recording_engine
from campaign.cli.main import run
from campaign.space.index_map import IndexMap
from campaign.store.records import read_json


def test_the_jacobian_at_every_fit(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "star.py").write_text(recording_engine.PROBLEM)
    stages = [
        {"name": "fit", "problem": {"name": "star.py:star"}, "engine": {"name": "trf"},
         "expand": {"grid": {"problem.data_seed": [0, 1, 2]}}},
        {"name": "derivatives", "engine": {"name": "jacobian"}, "start": {"from": "fit", "pick": "all"}},
    ]  # fmt: skip
    manifest = {"schema": "campaign/1", "name": "t", "stages": stages, "execution": {"executor": "inline"}}
    (tmp_path / "m.json").write_text(json.dumps(manifest))
    assert run(["submit", "m.json", "-d", "r", "-q"]) == 0
    handle = campaign.open("r")
    table = handle.table()
    fits = table[table["stage"] == "fit"].set_index("run_id")
    points = table[table["stage"] == "derivatives"]
    assert len(points) == len(fits) == 3
    design = recording_engine.DESIGN
    for _, row in points.iterrows():
        source = fits.loc[row["tag.source"]]
        assert row["problem.data_seed"] == source["problem.data_seed"]
        trace = handle.trace(row["run_id"])
        names = [str(name) for name in trace["parameter"].values]
        assert [row[f"theta.{name}"] for name in names] == [source[f"theta.{name}"] for name in names]
        np.testing.assert_allclose(trace["jacobian"].values, design, rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(trace["fisher"].values, design.T @ design, rtol=1e-10)
        program = read_json(handle.layout.program("derivatives", row["program"]))
        blocks = IndexMap.parse(program["index_map"]["entries"]).by_block(trace["jacobian"].values)
        assert {name: own.shape for name, own in blocks.items()} == {
            "astrometry": (40, 1), "photometry": (40, 1), "wavefront": (40, 3),
        }  # fmt: skip
        np.testing.assert_allclose(blocks["wavefront"], design[:, 2:], rtol=1e-12, atol=1e-14)
    saved = campaign.save_run("r", points["run_id"].iloc[0], tmp_path / "o", artifacts=["curvature"])
    assert not saved.absent
    np.testing.assert_allclose(campaign.load_curvature(tmp_path / "o")["fim"], design.T @ design, rtol=1e-10)
