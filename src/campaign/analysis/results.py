"""The results of a campaign as a person wants to see them first: per stage, the best run of each group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from campaign.store.merit import by_merit

if TYPE_CHECKING:
    import pyarrow as pa

MAX_GROUPS = 12  # rows of a printed result; beyond, axes are held at their base value
EVALUATE = "evaluate"  # the engine that finds nothing: its runs are an ensemble
METRICS = ("chi2", "dof", "rhat_max", "ess_min")


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """One parameter or derived number of a run. `note` says where it ended on a bound, or is not determined."""

    name: str
    value: float | None
    error: float | None
    unit: str
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """A number over an ensemble of runs: its median, and what 5 % and 95 % of them stay below."""

    name: str
    unit: str
    median: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Best:
    """The run of lowest loss in a group."""

    group: Mapping[str, Any]
    run_id: str
    loss: float | None
    estimates: tuple[Estimate, ...]
    derived: tuple[Estimate, ...]
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class StageResult:
    """What came out of a stage.

    Attributes:
        outcomes: outcome → number of runs; "not finished" for those without.
        held: axes that are held at one value in `best`, since there are too many groups to show.
        n_groups: how many groups there are without that.
        best: of an engine that looks for something.
        ensemble: of one that only evaluates: parameters that differ from run to run, and derived numbers.
    """

    stage: str
    engine: str
    n_runs: int
    outcomes: Mapping[str, int]
    held: Mapping[str, Any]
    n_groups: int
    best: tuple[Best, ...]
    ensemble: tuple[Spread, ...] = ()


def stage_results(directory: str | Path) -> list[StageResult]:
    """Results of every planned stage, from the summary table; empty where there is none."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    from campaign.store.layout import Layout

    layout = Layout(Path(directory))
    if not layout.table.exists():
        return []
    summary = pq.read_table(layout.table, columns=_columns(pq.read_schema(layout.table).names))
    stages = pc.unique(summary["stage"]).to_pylist()
    return [_stage_result(layout, name, summary.filter(pc.equal(summary["stage"], name))) for name in stages]


def _columns(names: Sequence[str]) -> list[str]:
    fixed = {"run_id", "stage", "engine", "outcome", "status", "loss", "program", "bounds_reached", "unidentified"}
    groups = ("problem.", "engine.", "theta.", "stderr.", "derived.")
    metrics = {f"metric.{name}" for name in METRICS}
    return [name for name in names if name in fixed or name in metrics or name.startswith(groups)]


def _stage_result(layout: Any, stage: str, rows: pa.Table) -> StageResult:
    import pyarrow.compute as pc

    outcomes = {
        entry["values"] or "not finished": entry["counts"] for entry in pc.value_counts(rows["outcome"]).to_pylist()
    }
    values = {path: pc.unique(rows[path]).to_pylist() for path in rows.column_names if _is_axis(path)}
    axes = {path: found for path, found in values.items() if len(found) > 1}
    n_groups = rows.select(list(axes)).group_by(list(axes)).aggregate([]).num_rows if axes else 1
    engines = pc.unique(rows["engine"]).to_pylist()
    good = rows.filter(pc.and_(pc.equal(rows["status"], "ok"), pc.is_valid(rows["loss"])))
    is_ensemble = engines == [EVALUATE]
    ensemble = _ensemble(good) if is_ensemble else ()
    good, held = _few_groups(good, axes, _base_values(layout, stage))
    shown = [path for path in axes if path not in held]
    best = [] if is_ensemble else _lowest(good, shown)
    free = {program: _free(layout, stage, program) for program in {row["program"] for row in best}}
    return StageResult(
        stage=stage,
        engine=", ".join(str(name) for name in engines),
        n_runs=rows.num_rows,
        outcomes=outcomes,
        held=held,
        n_groups=n_groups,
        best=tuple(_best(row, shown, rows.schema, free[row["program"]]) for row in best),
        ensemble=ensemble,
    )


def _ensemble(rows: pa.Table) -> tuple[Spread, ...]:
    """Quantiles of the parameters that differ from run to run, of derived numbers, and of a loss where there is one."""
    found = []
    for name in rows.column_names:
        group, _, own = name.partition(".")
        values = rows[name].drop_null().to_numpy() if group in ("theta", "derived", "loss") else np.empty(0)
        is_idle = group != "derived" and (values == values[:1]).all()  # a parameter that all share; no loss at all
        if len(values) and not is_idle:
            low, median, high = (float(q) for q in np.quantile(values, (0.05, 0.5, 0.95)))
            found.append(Spread(name=own or name, unit=_unit(rows.schema, name), median=median, low=low, high=high))
    return tuple(found)


def _free(layout: Any, stage: str, program: str) -> tuple[str, ...]:
    """The parameters that a program moves, as it declares them; none before it has run."""
    from campaign.store.records import read_json

    try:
        parameters = read_json(layout.program(stage, program)).get("parameters", ())
    except FileNotFoundError:
        return ()
    return tuple(p["name"] for p in parameters if p.get("free", True))


def _is_axis(path: str) -> bool:
    return path.startswith(("problem.", "engine."))


def _base_values(layout: Any, stage: str) -> dict[str, Any]:
    """What varying options are where no axis sets them: the plan's programs say it."""
    from campaign.store import plan

    part = plan.latest_part(layout, stage)
    header = plan.read_header(layout, stage, part) if part is not None else {"programs": {}, "axes": {}}
    for program in header["programs"].values():
        return {
            path: program[path.partition(".")[0]].get(path.partition(".")[2])
            for path, axis in header["axes"].items()
            if _is_axis(path) and axis["varying"]
        }
    return {}


def _few_groups(
    rows: pa.Table, axes: Mapping[str, Sequence[Any]], base: Mapping[str, Any]
) -> tuple[pa.Table, dict[str, Any]]:
    """Hold the axes with the most values at their base (else first) value until at most MAX_GROUPS groups are left."""
    import pyarrow.compute as pc

    held: dict[str, Any] = {}
    for path in sorted(axes, key=lambda path: -len(axes[path])):
        free = [other for other in axes if other not in held]
        if rows.num_rows == 0 or rows.select(free).group_by(free).aggregate([]).num_rows <= MAX_GROUPS:
            break
        present = pc.unique(rows[path]).to_pylist()
        held[path] = base.get(path) if base.get(path) in present else present[0]
        is_held = pc.is_null(rows[path]) if held[path] is None else pc.equal(rows[path], held[path])
        rows = rows.filter(is_held)
    return rows, held


def _lowest(rows: pa.Table, axes: Sequence[str]) -> list[dict[str, Any]]:
    """The row of lowest loss of each group, degenerate ones last, in the order in which the groups appear."""
    if rows.num_rows == 0:
        return []
    order = by_merit(rows["outcome"].to_pylist(), rows["loss"].to_numpy()).tolist()
    if not axes:
        return rows.take(order[:1]).to_pylist()
    keys = list(zip(*(rows[path].to_pylist() for path in axes), strict=True))
    lowest: dict[tuple, int] = {}
    for i in order:
        lowest.setdefault(keys[i], i)
    return rows.take([lowest[key] for key in dict.fromkeys(keys)]).to_pylist()


def _best(row: Mapping[str, Any], axes: Sequence[str], schema: pa.Schema, free: Sequence[str]) -> Best:
    named = [name.removeprefix("theta.") for name in row if name.startswith("theta.") and row[name] is not None]
    free = [name for name in named if name in free] or named
    return Best(
        group={path: row[path] for path in axes},
        run_id=row["run_id"],
        loss=row["loss"],
        estimates=tuple(_estimate(row, "theta", name, schema) for name in free),
        derived=tuple(
            _estimate(row, "derived", name.removeprefix("derived."), schema)
            for name in row
            if name.startswith("derived.") and row[name] is not None
        ),
        metrics={name: row[f"metric.{name}"] for name in METRICS if row.get(f"metric.{name}") is not None},
    )


def _estimate(row: Mapping[str, Any], group: str, name: str, schema: pa.Schema) -> Estimate:
    error = row.get(f"stderr.{name}") if group == "theta" else None
    note = _note(row, name) if group == "theta" else ""
    unit = _unit(schema, f"{group}.{name}")
    return Estimate(name=name, value=row[f"{group}.{name}"], error=error, unit=unit, note=note)


def _note(row: Mapping[str, Any], name: str) -> str:
    """What `bounds_reached` ("a:upper") and `unidentified` say of a parameter."""
    sides = dict(entry.rpartition(":")[::2] for entry in row.get("bounds_reached") or ())
    if name in sides:
        return f"at its {sides[name]} bound"
    return "not determined" if name in (row.get("unidentified") or ()) else ""


def _unit(schema: pa.Schema, name: str) -> str:
    return (schema.field(name).metadata or {}).get(b"unit", b"").decode()
