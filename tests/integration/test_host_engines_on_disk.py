"""Engines on the host in campaigns: the same table under every executor, and a resume in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from running import assert_same, campaign, here, table, write_manifest

ENGINES = {
    "scipy-lbfgsb": {},
    "scipy-trf": {"ftol": 1e-10},
    "nelder-mead": {"chunk_steps": 50},
    "differential-evolution": {"reach": 30.0, "population": 4, "chunk_steps": 20},
}
CAMPAIGN = {
    "schema": "campaign/1",
    "name": "on-the-host",
    "seed": 5,
    "stages": [
        {
            "name": name,
            "problem": {"name": "decay", "n": 40},
            "engine": {"name": name, **options},
            "expand": {"grid": {"problem.data_seed": {"range": [0, 20, 1]}}},
            "block": 8,
        }
        for name, options in ENGINES.items()
    ],
}


@pytest.fixture(scope="module")
def inline(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("inline")
    done = campaign("submit", write_manifest(folder, CAMPAIGN), "-d", folder / "c", "--executor", "inline")
    assert done.returncode == 0, done.stderr
    return folder / "c"


def test_all_engines_find_the_same_fits(inline: Path) -> None:
    found = pq.read_table(inline / "tables" / "summary.parquet").to_pandas()
    assert set(found["outcome"]) == {"converged"}
    assert found.groupby("engine").size().to_dict() == dict.fromkeys(ENGINES, 20)
    losses = found.pivot(index="problem.data_seed", columns="engine", values="loss")
    for name in ENGINES:
        np.testing.assert_allclose(losses[name], losses["scipy-trf"], rtol=1e-6)
    has_errors = found.groupby("engine")["stderr.rate"].apply(lambda column: column.notna().all()).to_dict()
    assert has_errors == {name: name == "scipy-trf" for name in ENGINES}


def test_dask_equals_inline(tmp_path: Path, inline: Path) -> None:
    manifest = write_manifest(tmp_path, CAMPAIGN)
    done = campaign("submit", manifest, "-d", tmp_path / "c", "--executor", "dask", "--workers", 2)
    assert done.returncode == 0, done.stderr
    assert_same(table(tmp_path / "c"), table(inline))


def test_the_plan_knows_what_the_traces_cost(tmp_path: Path) -> None:
    document = {
        "schema": "campaign/1",
        "name": "cost",
        "problem": {"name": "decay", "n": 40},
        "engine": {"name": "scipy-trf", "max_steps": 100},
        "expand": {"grid": {"problem.data_seed": {"range": [0, 20, 1]}}},
    }
    done = here("plan", write_manifest(tmp_path, document), "--json")
    assert done.returncode == 0, done.stderr
    (stage,) = json.loads(done.stdout)["stages"]
    a_step = 8 + 8 + 4 + 4 * 8  # loss, grad_norm, n_evaluations, theta
    assert stage["cost"]["trace_bytes"] == 20 * (100 * a_step + 4 * 4 * 8)


PROGRAM = """
import json
import sys
import numpy as np
import campaign.float64
campaign.float64.use_float64()
from campaign.engines.host_program import host_program
from campaign.engines.loop import Stopped, run_lanes
from campaign.problem.reference import decay
from campaign.problem.reference.catalogue import DecayOptions
from campaign.registry import ENGINES, load, load_reference
from campaign.testing.engine import leaves, target_of
from campaign.testing.host_engine import RecordingSink, batch_of

name, options, what, path = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3], sys.argv[4]
plugin = load(ENGINES, name)
engine = load_reference(plugin.build)(plugin.options(**options))
target = target_of(decay.build(DecayOptions(data_seed=2)))
starts = np.asarray(target.base)[None, :] + 0.01 * np.arange(3)[:, None]
batch, sink, resume = batch_of(engine, target, starts), RecordingSink(), None
if what == "stop":
    sink.stop_after = 2
if what == "resume":
    with np.load(path) as kept:
        resume = [kept[f"leaf{i:03d}"] for i in range(len(kept.files))], 2
try:
    found = leaves(run_lanes(host_program(batch), batch, np.ones(3, bool), sink, resume))
except Stopped:
    found = sink.kept[0]
np.savez(path, **{f"leaf{i:03d}": leaf for i, leaf in enumerate(found)})
"""


@pytest.mark.parametrize("name", ENGINES)
def test_a_stopped_block_goes_on_in_another_process_bit_for_bit(tmp_path: Path, name: str) -> None:
    options = ENGINES[name] | {"chunk_steps": 3}

    def python(what: str, path: Path) -> list[np.ndarray]:
        arguments = [name, json.dumps(options), what, str(path)]
        done = subprocess.run([sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        with np.load(path) as kept:
            return [kept[key] for key in sorted(kept.files)]

    whole = python("whole", tmp_path / "whole.npz")
    stopped = python("stop", tmp_path / "state.npz")
    assert any((leaf == 6).all() for leaf in stopped if leaf.shape == (3,))  # two chunks of three steps
    resumed = python("resume", tmp_path / "state.npz")
    assert len(whole) == len(resumed)
    for one, other in zip(whole, resumed, strict=True):
        np.testing.assert_array_equal(one, other)
