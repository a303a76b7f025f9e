"""Files and bytes of a plan, counted by hand."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from campaign.drive.next_part import planned
from campaign.errors import InvalidValue
from campaign.manifest.load import loads
from campaign.work.cost import _some_rows, cost_of

TEXT = {
    "schema": "campaign/1",
    "name": "t",
    "problem": {"name": "decay", "n": 5},
    "engine": {"name": "trf", "max_steps": 40, "chunk_steps": 20},
    "expand": {"grid": {"start.rate": {"linspace": [1.0, 2.0, 10]}}},
    "block": 4,
}


def part(folder=".", **keys):
    manifest = loads(json.dumps(TEXT | keys), folder=folder, source="t.json")
    return planned(None, manifest, manifest.stages[0])


def test_without_traces_there_is_a_file_a_block_and_a_folder_of_two_a_run():
    own = part(trace=False)
    packed = cost_of(own, has_folders=False)
    assert (packed.n_files, packed.trace_bytes) == (3, 0)
    folders = cost_of(own, has_folders=True)
    assert folders.n_files == 3 + 2 * 10
    assert packed.summary_bytes % 10 == 0
    # the line of a run is there twice: among the block's and in the run's folder, beside its meta
    assert folders.summary_bytes > 2 * packed.summary_bytes
    assert cost_of(part(trace=False, keep_state=True), has_folders=False).n_files == 3 + 3


def test_arrays_have_a_file_a_chunk_and_one_for_their_metadata():
    all_, loss = (cost_of(part(trace=policy), has_folders=False) for policy in (True, {"fields": ["loss"]}))
    # at the end of each run: covariance 4 × 4; at each of 40 steps: the loss, theta …
    assert loss.trace_bytes == 10 * 8 * (40 + 16)
    assert all_.trace_bytes > loss.trace_bytes + 10 * 8 * 40 * 4
    half = cost_of(part(trace={"fields": ["loss"], "every": 3}), has_folders=False)
    assert half.trace_bytes == 10 * 8 * (14 + 16)
    # three blocks: 3 summaries; the loss in two chunks of steps, 3 · 2 + 1, and the covariance, 3 + 1; run_id,
    # parameter and parameter_unit, 2 each; the group
    assert loss.n_files == 3 + 7 + 4 + 3 * 2 + 1


def test_a_part_without_new_runs_costs_nothing():
    own = part()
    header = {**own.header, "n_new": 0, "programs": {}}
    assert cost_of(replace(own, header=header), has_folders=True).n_files == 0


def test_a_few_rows_of_each_program_from_its_first_to_its_last():
    own = part(expand={"grid": {"problem.n": [5, 6], "start.rate": {"linspace": [1.0, 2.0, 40]}}}, trace=False)
    for name, entry in own.header["programs"].items():
        rows = _some_rows(own, name)
        assert len(rows) == 16
        assert {row["program"] for row in rows} == {name}
        assert (rows[0]["row"], rows[-1]["row"]) == (0, entry["n_rows"] - 1)
    few = part(expand={"grid": {"start.rate": [1.0, 2.0, 3.0]}}, trace=False)
    (name,) = few.header["programs"]
    assert [row["row"] for row in _some_rows(few, name)] == [0, 1, 2]


SOURCE = """
import jax.numpy as jnp
from typing import Annotated
from campaign.science import Parameter, Problem, ThetaSpace, Varying
import equinox as eqx

class Mean(Problem):
    space: ThetaSpace = eqx.field(static=True)
    y: jnp.ndarray

    def residuals(self, theta):
        return theta[0] - self.y

def mean(k: Annotated[int, Varying()] = 0) -> Mean:
    if k % 10:
        raise ValueError(f"no data for {k}")
    return Mean(ThetaSpace((Parameter(name="a", initial=0.0),)), jnp.ones(3))
"""


def test_a_run_that_cannot_be_built_says_nothing_of_the_others(tmp_path):
    (tmp_path / "p.py").write_text(SOURCE)
    own = {"problem": {"name": "p.py:mean"}, "block": 2}
    some = part(tmp_path, **own, expand={"list": [{"problem.k": k} for k in (1, 2, 10)]})
    assert cost_of(some, has_folders=False).trace_bytes > 0
    none = replace(some, rows=some.rows.slice(0, 2))
    with pytest.raises(InvalidValue, match=r"the problem `p.py:mean` cannot be built: ValueError: no data for 1"):
        cost_of(none, has_folders=False)


def test_a_gang_needs_fits_by_rows():
    with pytest.raises(InvalidValue, match="the problem `decay` with the engine `trf`"):
        cost_of(part(trace=False), has_folders=False, ranks_per_block=2)
