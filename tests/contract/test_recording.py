"""What is recorded never changes what is computed: every engine, every trace policy, every face."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import campaign

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
    return [True, False, *({"fields": [name]} for name in fields)]


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
    recorded = campaign.open(tmp_path / "c").trace("last")
    for name in set(again.trace) & set(recorded.variables):
        values = recorded[name].values
        assert (again.trace[name] == values).all(), name
