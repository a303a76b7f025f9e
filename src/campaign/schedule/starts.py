"""Starting from another stage: its results → one row of axes for each group, or run, to start from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from campaign.errors import InvalidValue, UnknownName
from campaign.manifest.columns import Column, Columns, column_of
from campaign.manifest.diagnose import pointer, shown
from campaign.manifest.model import Stage
from campaign.manifest.nodes import Leaf
from campaign.manifest.table import arrow_column
from campaign.schedule.combinations import combinations

if TYPE_CHECKING:
    import pyarrow as pa

BLOCKED = "blocked"  # column: why a row cannot start, absent where it can
SOURCE_TAG = "tag.source"


def as_table(rows: Any) -> pa.Table:
    """A pandas DataFrame or an Arrow table as an Arrow table."""
    import pyarrow as pa

    return rows if isinstance(rows, pa.Table) else pa.Table.from_pandas(rows, preserve_index=False)


def inherited_axes(stage: Stage, names: tuple[str, ...]) -> tuple[str, ...]:
    """Axes of the source that the later stage takes over.

    Those of `by`; and all of `problem.*` where the stage has no problem of its own and takes over single runs.
    """
    takes_all = stage.problem is None and (stage.start.pick != "best" or not stage.start.by)
    problem = tuple(name for name in names if name.startswith("problem.")) if takes_all else ()
    return tuple(dict.fromkeys((*stage.start.by, *problem)))


def start_rows(stage: Stage, source: str, rows: Any, axes: Mapping[str, Any]) -> Leaf:
    """The rows that a stage starts from, once its source is complete.

    Args:
        stage: the later stage.
        source: name of the stage that it starts from.
        rows: the source's summary rows: run_id, status, loss, theta.<name>, stderr.<name> and its axes.
        axes: the source plan's header entry `axes`.

    Returns:
        One point a group (pick "best") or a run (pick "all", or one run): the inherited axes; start.<p> = theta;
        scale.<p> = stderr where it is finite and positive; tag.source = run id; `blocked` = why a group has no start.

    Raises:
        UnknownName: pick {"run": id} fits no run.
        InvalidValue: it fits several, or the rows lack a column.
    """
    table = as_table(rows)
    missing = {"run_id", "status", "loss"} - set(table.column_names)
    if missing:
        raise InvalidValue(f"the results of stage `{source}` lack the columns {sorted(missing)}")
    inherited = _axis_columns(inherited_axes(stage, tuple(axes)), table, axes)
    run_id = np.array(table.column("run_id").to_pylist(), dtype=str)
    loss = arrow_column(table.column("loss")).array().astype(np.float64)
    ok = (np.array(table.column("status").to_pylist(), dtype=object) == "ok") & np.isfinite(loss)
    if stage.start.pick == "best":
        groups = combinations(len(run_id), inherited, stage.start.by, ())
        chosen, has_start = _best(groups.code, run_id, loss, ok)
    elif stage.start.pick == "all":
        chosen, has_start = np.arange(len(run_id)), ok
    else:
        chosen = _one(stage, source, run_id)
        has_start = ok[chosen]
    columns: Columns = {path: column.take(chosen) for path, column in inherited.items()}
    columns |= _estimates(stage, table, chosen, has_start)
    columns[SOURCE_TAG] = _masked(column_of(run_id[chosen].tolist()), has_start)
    if not has_start.all():
        columns[BLOCKED] = _reasons(source, columns, stage, run_id[chosen], has_start)
    return Leaf(columns, len(chosen), dict.fromkeys(columns, pointer(stage.place, "start")))


def group_rows(stage: Stage, plan_rows: Any, axes: Mapping[str, Any]) -> Leaf:
    """The same groups, before the source has run: the inherited axes only, from the source's own plan."""
    table = as_table(plan_rows)
    inherited = _axis_columns(inherited_axes(stage, tuple(axes)), table, axes)
    if stage.start.pick == "all":
        chosen = np.arange(table.num_rows)
    elif stage.start.pick == "best":
        chosen = combinations(table.num_rows, inherited, stage.start.by, ()).first
    else:
        chosen = np.zeros(1, dtype=np.intp)
    columns = {path: column.take(chosen) for path, column in inherited.items()}
    return Leaf(columns, len(chosen), dict.fromkeys(columns, pointer(stage.place, "start")))


def _axis_columns(paths: tuple[str, ...], table: pa.Table, axes: Mapping[str, Any]) -> Columns:
    columns: Columns = {}
    for path in paths:
        if path not in table.column_names:
            raise InvalidValue(f"the results to start from have no column `{path}`")
        column = arrow_column(table.column(path))
        if axes.get(path, {}).get("type") == "json":
            column = Column("json", column.data, tuple(json.loads(v) for v in column.values), column.present)
        columns[path] = column
    return columns


def _best(code: np.ndarray, run_id: np.ndarray, loss: np.ndarray, ok: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each group the run with the lowest loss among those that ended ok; ties by run id."""
    order = np.lexsort((run_id, np.where(ok, loss, np.inf), ~ok, code))
    chosen = order[np.unique(code[order], return_index=True)[1]]
    return chosen, ok[chosen]


def _one(stage: Stage, source: str, run_id: np.ndarray) -> np.ndarray:
    found = np.flatnonzero(np.char.startswith(run_id, stage.start.run or ""))
    if len(found) == 0:
        raise UnknownName(f"no run of stage `{source}` has an id that begins with `{stage.start.run}`")
    if len(found) > 1:
        raise InvalidValue(
            f"{len(found)} runs of stage `{source}` have ids that begin with `{stage.start.run}`",
            hint="write more of it",
        )
    return found


def _estimates(stage: Stage, table: pa.Table, chosen: np.ndarray, has_start: np.ndarray) -> Columns:
    """theta → start, stderr → scale; what the stage sets itself is left alone."""
    columns: Columns = {}
    for name in table.column_names:
        kind, _, parameter = name.partition(".")
        path = {"theta": f"start.{parameter}", "stderr": f"scale.{parameter}"}.get(kind)
        own = stage.start.values if kind == "theta" else stage.scale
        if path is None or parameter in own:
            continue
        column = arrow_column(table.column(name)).as_float().take(chosen)
        if column.kind != "float":  # a column of nulls only
            continue
        usable = has_start & column.where_present() & ((column.data > 0) | (kind == "theta"))
        if usable.any():
            columns[path] = _masked(column, usable)
    return columns


def _masked(column: Column, present: np.ndarray) -> Column:
    return Column(column.kind, column.data, column.values, None if present.all() else present)


def _reasons(source: str, columns: Columns, stage: Stage, run_id: np.ndarray, has_start: np.ndarray) -> Column:
    reasons = []
    for i in range(len(has_start)):
        if stage.start.pick == "best":
            group = ", ".join(f"{path} = {shown(columns[path].value(i))}" for path in stage.start.by)
            reasons.append(f"no run of stage `{source}`" + (f" with {group}" if group else "") + " ended ok")
        else:
            reasons.append(f"the run {run_id[i]} of stage `{source}` did not end ok")
    return _masked(column_of(reasons), ~has_start)
