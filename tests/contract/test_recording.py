"""What is recorded never changes what is computed: every engine, every trace policy, every face."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import xarray

import campaign
from campaign.analysis.handle import Handle
from campaign.analysis.traces import open_traces
from campaign.analysis.verify import verify
from campaign.store.layout import Layout

BREAKS = """
import equinox as eqx
import jax
import jax.numpy as jnp

from campaign.science import Parameter, Problem, ThetaSpace


class Line(Problem):
    space: ThetaSpace = eqx.field(static=True)
    breaks: jax.Array

    def residuals(self, theta):
        return jnp.where((self.breaks > 0) & (theta[0] != 0.5), jnp.nan, theta[0] * jnp.arange(4.0) - 1.0)


def line(breaks: float = 0.0) -> Line:
    return Line(ThetaSpace((Parameter(name="slope", initial=1.0),)), jnp.asarray(breaks))
"""

ENGINES = {
    "trf": {"name": "trf", "max_steps": 40},
    "trf-short": {"name": "trf", "max_steps": 3},
    "ensemble": {"name": "ensemble", "walkers": 8, "steps": 60, "thin": 2},
    "evaluate": {"name": "evaluate"},
    "jacobian": {"name": "jacobian"},
    "scan": {"name": "scan", "grid": {"rate": {"linspace": [0.2, 0.9, 40]}}, "chunk": 7},
}
PROBLEM = {"name": "decay", "data_seed": 7}
JUDGED = ("run_id", "status", "outcome", "message", "n_steps", "loss", "n_evaluations", "unidentified", "nonfinite")


def policies(engine: str) -> list:
    fields = {
        "trf": ["loss", "theta", "damping"],
        "ensemble": ["loss", "theta", "log_prob"],
        "evaluate": ["loss"],
        "jacobian": ["loss", "jacobian"],
        "scan": ["loss", "log_likelihood"],
    }[engine.partition("-")[0]]
    some = [{"every": 10}, {"every": 50}, {"every": 3, "runs": "first"}, {"runs": "failed"}]
    return [True, False, *({"fields": [name]} for name in fields), *some]


def group(opened: Handle, stage: str) -> xarray.Dataset:
    """The arrays of a stage's one program."""
    (program,) = (p.name for p in (opened.layout.traces / stage).iterdir() if p.is_dir())
    return open_traces(opened.layout, stage, program)


def judged(row: dict) -> dict:
    kinds = ("theta.", "stderr.", "metric.", "derived.")
    own = {k: v for k, v in row.items() if k in JUDGED or k.startswith(kinds)}
    return {k: v for k, v in own.items() if v is not None and v == v}


@pytest.mark.parametrize("engine", ENGINES)
def test_a_run_is_the_same_whatever_is_recorded(engine: str, tmp_path: Path) -> None:
    start = {"rate": 0.45}
    stages = [
        {"name": f"s{i}", "problem": PROBLEM, "engine": ENGINES[engine], "start": start, "trace": trace}
        for i, trace in enumerate(policies(engine))
    ]
    (tmp_path / "m.json").write_text(json.dumps({"schema": "campaign/1", "name": "m", "seed": 3, "stages": stages}))
    campaign.submit(tmp_path / "m.json", tmp_path / "c", executor="inline")
    rows = pq.read_table(tmp_path / "c" / "tables" / "summary.parquet").to_pylist()
    assert len(rows) == len(stages)
    reference = judged(rows[0])
    assert reference["outcome"] in ("converged", "budget", "stalled")
    for row in rows[1:]:
        assert judged(row) == reference, row["stage"]

    options = {k: v for k, v in ENGINES[engine].items() if k != "name"}
    problem = {k: v for k, v in PROBLEM.items() if k != "name"}
    alone = campaign.fit("decay", ENGINES[engine]["name"], start, seed=3, options=problem, engine_options=options)
    again = campaign.replay(tmp_path / "c", "last")
    for found in (alone, again):
        assert found.run_id == reference["run_id"]
        assert (found.outcome, found.message) == (reference["outcome"], reference.get("message"))
        assert {f"theta.{k}": v for k, v in found.theta.items()}.items() <= reference.items()
        metrics = {f"metric.{k}": v for k, v in found.metric.items() if v == v}
        assert metrics == {k: v for k, v in reference.items() if k.startswith("metric.")}
    assert verify(Layout(tmp_path / "c")) == []
    recorded = group(campaign.open(tmp_path / "c"), "s0").isel(run=0)
    for name, values in again.trace.items():
        np.testing.assert_array_equal(values, recorded[name].values[: len(values)], name)


@pytest.mark.parametrize("every", [3, 10, 50])
@pytest.mark.parametrize("chunk_steps", [4, 32])
def test_every_nth_step_is_that_of_the_whole_trace(every: int, chunk_steps: int, tmp_path: Path) -> None:
    engine = {"name": "trf", "chunk_steps": chunk_steps}
    grid = {"grid": {"start.rate": [0.2, 0.45, 3.0]}}
    stages = [
        {"name": name, "problem": PROBLEM, "engine": engine, "expand": grid, "trace": trace}
        for name, trace in {"whole": True, "some": {"every": every}}.items()
    ]
    (tmp_path / "m.json").write_text(json.dumps({"schema": "campaign/1", "name": "m", "stages": stages}))
    campaign.submit(tmp_path / "m.json", tmp_path / "c", executor="inline")
    opened = campaign.open(tmp_path / "c")
    groups = {stage: group(opened, stage) for stage in ("whole", "some")}
    for name in ("loss", "theta", "accepted"):
        np.testing.assert_array_equal(groups["some"][name].values, groups["whole"][name].values[:, ::every])
    assert groups["some"]["step"].values.tolist() == list(range(0, 200, every))


def test_only_failed_runs_or_only_the_first_are_kept(tmp_path: Path) -> None:
    (tmp_path / "line.py").write_text(BREAKS)
    stages = [
        {
            "name": runs,
            "problem": {"name": "line.py:line"},
            "engine": {"name": "trf"},
            "expand": {"grid": {"problem.breaks": [0.0, 1.0, 0.0]}} | {},
            "replicates": 2,
            "trace": {"runs": runs},
        }
        for runs in ("all", "failed", "first")
    ]
    stages = [
        stage | {"expand": {"grid": {"problem.breaks": [0.0, 1.0], "start.slope": [0.5, 2.0]}}} for stage in stages
    ]
    (tmp_path / "m.json").write_text(json.dumps({"schema": "campaign/1", "name": "m", "stages": stages}))
    campaign.submit(tmp_path / "m.json", tmp_path / "c", executor="inline")
    opened = campaign.open(tmp_path / "c")
    table = opened.table().set_index("stage")
    for runs in ("failed", "first"):
        whole, some = (group(opened, stage) for stage in ("all", runs))
        failed = (table.loc["all"].sort_values("row")["status"] == "failed").to_numpy()
        kept = failed if runs == "failed" else np.arange(len(failed)) == 0
        assert kept.any()
        np.testing.assert_array_equal(some["damping"].values[kept], whole["damping"].values[kept])
        assert np.isnan(some["damping"].values[~kept]).all()
