"""The winner of a stage becomes the stored default of its model."""

from __future__ import annotations

from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from campaign import defaults
from campaign.store import plan as plans
from campaign.store.layout import Layout
from campaign.store.merit import merit
from campaign.store.records import read_json


def publish_defaults(layout: Layout, stage: str) -> None:
    """Store the free parameters of the best run of each model, with where they come from.

    The model is the problem's option `model`, or the problem's name where it has none. Best is the lowest loss among
    the runs that ended ok, degenerate ones last; a chain whose mean has no finite likelihood has none.
    """
    table = pq.read_table(layout.table, filters=[("stage", "=", stage), ("status", "=", "ok")])
    table = table.filter(pc.is_valid(table["loss"]))
    models = _models(layout, stage, table)
    for model in sorted(set(models)):
        rows = [row for row, own in zip(table.to_pylist(), models, strict=True) if own == model]
        best = min(rows, key=lambda row: (*merit(row["outcome"], row["loss"]), row["run_id"]))
        free = [name.removeprefix("stderr.") for name in table.column_names if name.startswith("stderr.")]
        values = {name: best[f"theta.{name}"] for name in free if best.get(f"theta.{name}") is not None}
        defaults.update_defaults(model, values, provenance=_provenance(layout, stage, best))


def _models(layout: Layout, stage: str, table: Any) -> list[str]:
    bases = {name: entry["problem"].get("model") for name, entry in plans.programs(layout, stage).items()}
    named = table["problem.model"].to_pylist() if "problem.model" in table.column_names else [None] * table.num_rows
    places = zip(named, table["program"].to_pylist(), table["problem"].to_pylist(), strict=True)
    return [str(bases.get(program) or problem) if own is None else str(own) for own, program, problem in places]


def _provenance(layout: Layout, stage: str, best: dict[str, Any]) -> dict[str, Any]:
    problem = dict(plans.programs(layout, stage)[best["program"]]["problem"])
    for name in problem:  # numbers may differ from run to run inside one program
        own = best.get(f"problem.{name}")
        problem[name] = own if isinstance(own, (int, float)) else problem[name]
    return {
        "campaign": read_json(layout.identity)["name"],
        "stage": stage,
        "problem": problem,
        "run_id": best["run_id"],
        "engine": best["engine"],
        "outcome": best["outcome"],
        "loss": best["loss"],
        "loss_initial": best["loss_initial"],
        "bounds_reached": best["bounds_reached"],
    }
