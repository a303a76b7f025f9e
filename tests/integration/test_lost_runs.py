"""A run that takes its worker down with it, whatever it is alone with: it is lost, the campaign goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from campaign.execute.base import Control
from campaign.execute.dask.forked import DaskExecutor
from running import campaign, table, write_manifest
from synthetic_blocks import WORK, executions, tasks

STOPS = """
import ctypes
import equinox as eqx, jax, jax.numpy as jnp
import numpy as np
from campaign.problem.base import Problem
from campaign.space import Parameter, ThetaSpace


def _look(x):
    if abs(float(x) - 3.0) < 1e-9:
        ctypes.CDLL(None)._exit(0)  # as STOP in a Fortran library
    return np.asarray(x)


class Stops(Problem):
    space: ThetaSpace = eqx.field(static=True)
    weight: jax.Array

    def __init__(self, weight: float = 1.0):
        self.space = ThetaSpace((Parameter(name="x", initial=1.0),))
        self.weight = jnp.asarray(weight)

    def residuals(self, theta):
        x = jax.pure_callback(_look, jax.ShapeDtypeStruct((), jnp.float64), theta[0], vmap_method="sequential")
        return jnp.stack([self.weight * x])
"""
STAGES: dict[str, Any] = {
    "schema": "campaign/1",
    "name": "lost",
    "stages": [
        {
            "name": "look",
            "problem": {"name": "stops.py:Stops"},
            "engine": {"name": "evaluate"},
            "expand": {"grid": {"start.x": {"range": [0, 9, 1]}}},
            "block": 9,
        },
        {"name": "again", "start": {"from": "look", "pick": "best"}, "engine": {"name": "evaluate"}},
    ],
}


def test_a_worker_that_leaves_in_a_block_is_a_loss_and_another_takes_its_place(tmp_path: Path) -> None:
    with DaskExecutor(workers=2, work=WORK) as running:
        receipts = list(running.run(tmp_path, tasks("leaves", 8), Control()))
    assert {r.task.block: r.state == "lost" for r in receipts} == {i: i == 4 for i in range(8)}
    assert (tmp_path / "done" / "leaves-000007").exists()
    assert executions(tmp_path, "leaves", 4) == 4
    (lost,) = (r for r in receipts if r.state == "lost")
    assert "exit code 0" in lost.message


@pytest.fixture(scope="module")
def lost(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("lost")
    (folder / "stops.py").write_text(STOPS)
    done = campaign("submit", write_manifest(folder, STAGES), "-d", folder / "c", "-e", "dask", "-w", "2")
    assert done.returncode == 4, done.stderr  # finished, with failed runs
    return folder / "c"


def test_a_lost_run_has_a_record_and_later_stages_go_on(lost: Path) -> None:
    rows = pq.read_table(lost / "tables" / "summary.parquet").to_pylist()
    found = {row["start.x"]: (row["status"], row["outcome"]) for row in rows if row["stage"] == "look"}
    assert found == {float(x): ("failed", "lost") if x == 3 else ("ok", "converged") for x in range(9)}
    (message,) = (row["message"] for row in rows if row["outcome"] == "lost")
    assert message.startswith("lost 4 times, the last time: ")
    assert [row["status"] for row in rows if row["stage"] == "again"] == ["ok"]
    assert campaign("verify", lost).returncode == 0


def test_status_names_it_and_retry_tries_it_again(lost: Path) -> None:
    shown = campaign("status", lost)
    assert "lost 4 times" in shown.stdout
    planned = json.loads(campaign("retry", lost, "--kind", "lost", "--plan-only", "--json").stdout)
    assert planned["n_retried"] == 1, planned
    done = campaign("resume", lost, "-e", "dask", "-w", "1")
    assert done.returncode == 4, done.stderr
    (row,) = (row for row in table(lost).to_pylist() if row["outcome"] == "lost")
    assert row["run_id"]


def test_max_failures_counts_it(tmp_path: Path) -> None:
    (tmp_path / "stops.py").write_text(STOPS)
    document = STAGES | {"execution": {"executor": "dask", "workers": 1, "max_failures": 0}}
    done = campaign("submit", write_manifest(tmp_path, document), "-d", tmp_path / "c")
    assert done.returncode == 5, done.stderr
    assert "1 runs of stage `look` failed, more than max_failures 0" in done.stderr + done.stdout
