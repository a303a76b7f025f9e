"""One campaign of more than 5,000 runs under every executor gives the same table, bit by bit."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from cluster_files import write_profile
from running import assert_same, campaign, table, write_manifest

MANY: dict[str, Any] = {
    "schema": "campaign/1",
    "name": "many",
    "seed": 11,
    "problem": {"name": "decay", "n": 30},
    "engine": {"name": "trf"},
    "expand": {
        "product": [
            {"grid": {"problem.data_seed": {"range": [0, 160, 1]}}},
            {"sample": {"design": "sobol", "n": 32, "space": {"start.rate": {"uniform": [0.3, 2.0]}}}},
        ]
    },
    "block": 128,
}
N_RUNS = 160 * 32
SRUN = ["srun", "--kill-on-bad-exit=1", "--mpi=pmi2", "--input=0", "-N3", "--mem-per-cpu=500", "--ntasks={n}"]


def run(folder: Path, **execution: Any) -> Path:
    """Submit `MANY` and give the campaign's directory."""
    manifest = write_manifest(folder, MANY | {"execution": {"layout": "packed", **execution}})
    done = campaign("submit", manifest, "-d", folder / "c")
    assert done.returncode == 0, done.stderr
    assert table(folder / "c").num_rows == N_RUNS
    return folder / "c"


@pytest.fixture(scope="module")
def inline(tmp_path_factory) -> Path:
    return run(tmp_path_factory.mktemp("inline"), executor="inline")


def test_dask_equals_inline(tmp_path, inline):
    assert_same(table(run(tmp_path, executor="dask", workers=2)), table(inline))


@pytest.mark.slurm
@pytest.mark.parametrize("executor", ["dask-slurm", "slurm-array"])
def test_slurm_equals_inline(slurm, tmp_path, inline, executor):
    profile = write_profile(tmp_path)
    assert_same(table(run(tmp_path, executor=executor, profile=str(profile))), table(inline))
    until = time.monotonic() + 60
    while slurm.jobs():
        assert time.monotonic() < until, slurm.jobs()
        time.sleep(0.2)


@pytest.mark.mpi
def test_mpi_equals_inline(mpi, tmp_path, inline):
    options = {"launcher": "mpiexec", "device": "cpu"}
    assert_same(table(run(tmp_path, executor="mpi", workers=3, options=options)), table(inline))


@pytest.mark.slurm
@pytest.mark.mpi
def test_mpi_under_srun_equals_inline(slurm, mpi, tmp_path, inline):
    options = {"launcher": SRUN, "device": "cpu"}
    assert_same(table(run(tmp_path, executor="mpi", workers=3, options=options)), table(inline))
