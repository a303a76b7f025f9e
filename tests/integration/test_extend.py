"""A finished run goes on bit for bit: as many steps in two parts as in one, wherever and however often it is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import xarray

from campaign.drive.doors import extend, plan, resume, retry, submit
from campaign.errors import Incomplete, InvalidValue, UsageError
from campaign.store.layout import Layout
from campaign.store.plan import latest_part, read_header
from running import campaign, command, write_manifest

CHAIN: dict[str, Any] = {
    "schema": "campaign/1",
    "name": "chain",
    "problem": {"name": "gaussian", "mean": 3.0, "correlation": 0.5},
    "engine": {"name": "ensemble", "walkers": 8, "steps": 200, "thin": 2},
    "replicates": 7,
    "block": 3,
    "execution": {"executor": "inline", "layout": "packed"},
}
OF_A_PLACE = {"run_id", "program", "part", "block", "row", "attempt", "started_at", "host", "runtime_s", "compile_s"}


def with_steps(folder: Path, steps: int, document: dict[str, Any] = CHAIN, **changes: Any) -> Path:
    folder.mkdir(exist_ok=True)
    option = "max_steps" if document["engine"]["name"] == "trf" else "steps"
    return write_manifest(folder, document | {"engine": document["engine"] | {option: steps}} | changes)


def results(directory: Path) -> pandas.DataFrame:
    return pandas.read_parquet(directory / "tables" / "summary.parquet")


def traces(directory: Path) -> dict[str, xarray.Dataset]:
    """The arrays of each run of the table, all loaded."""
    groups: dict[str, xarray.Dataset] = {}
    found = {}
    for row in results(directory).itertuples():
        if row.program not in groups:
            groups[row.program] = xarray.open_zarr(
                directory / "traces.zarr", group=f"{row.stage}/{row.program}", consolidated=False
            ).load()
        found[row.run_id] = groups[row.program].isel(run=row.row)
    return found


def assert_equal_runs(one: Path, other: Path) -> None:
    """Every number of the table and of the traces is the same bits; ids are not compared."""
    mine, theirs = results(one), results(other)
    names = [name for name in mine.columns if name not in OF_A_PLACE]
    assert names == [name for name in theirs.columns if name not in OF_A_PLACE]
    for name in names:
        assert mine[name].equals(theirs[name]), name
    for mine_, theirs_ in zip(traces(one).values(), traces(other).values(), strict=True):
        assert set(mine_.data_vars) == set(theirs_.data_vars)
        for name in mine_.data_vars:
            length = min(mine_[name].shape[0], theirs_[name].shape[0]) if mine_[name].ndim else None
            a, b = (x[name].values[:length] for x in (mine_, theirs_)) if length else (mine_[name], theirs_[name])
            np.testing.assert_array_equal(a, b, err_msg=name)


def n_computed(directory: Path) -> list[int]:
    """For each program of the latest plan the steps that it goes on from; −1 where its runs begin."""
    layout = Layout(directory)
    part = latest_part(layout, "main")
    assert part is not None
    programs = read_header(layout, "main", part)["programs"].values()
    return [entry.get("continues", {}).get("steps", -1) for entry in programs]


@pytest.fixture(scope="module")
def short(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("short")
    assert submit(with_steps(folder, 200), folder / "c").state == "done"
    return folder / "c"


@pytest.fixture(scope="module")
def long(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("long")
    assert submit(with_steps(folder, 400), folder / "c").state == "done"
    return folder / "c"


def test_two_hundred_and_two_hundred_are_four_hundred(tmp_path, short, long):
    folder = tmp_path / "c"
    subprocess.run(["cp", "-r", short, folder], check=True)
    report = extend(folder, 400)
    assert report.state == "done"
    assert n_computed(folder) == [200]
    assert_equal_runs(folder, long)
    assert list(results(folder)["run_id"]) == list(results(long)["run_id"])
    assert json.loads((folder / "manifest.json").read_text())["engine"]["steps"] == 400
    assert campaign("verify", folder).returncode == 0
