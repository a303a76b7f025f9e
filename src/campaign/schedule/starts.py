"""Starting from another stage: its results → one row of axes for each group, or run, to start from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from campaign.errors import InvalidValue, UnknownName
from campaign.manifest.columns import Column, Columns, column_of
from campaign.manifest.diagnose import pointer, shown
from campaign.manifest.model import Stage
from campaign.manifest.nodes import Leaf
from campaign.manifest.start import COUNT_TAG, RANK_TAG, SOURCE_TAG
from campaign.manifest.table import arrow_column
from campaign.schedule.combinations import combinations
from campaign.schedule.members import MEMBERS, members_of, n_members
from campaign.store.merit import DEGENERATE

if TYPE_CHECKING:
    import pyarrow as pa

BLOCKED = "blocked"  # column: why a row cannot start, absent where it can


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Starts:
    """What the runs of a stage may start from.

    Attributes:
        leaf: one point a start, with the axes that its runs take over.
        warnings: what `plan` should say.
        members: key of a set of runs → their ids, 16 bytes each; for the pick "group".
    """

    leaf: Leaf
    warnings: tuple[str, ...] = ()
    members: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Results:
    """The summary rows of a stage.

    Attributes:
        table: run_id, status, loss, theta.<name>, stderr.<name> and the stage's axes.
        run_id, loss: one a row.
        ok: the run ended ok, with a finite loss.
        degenerate: its result is none of the stated model.
    """

    table: pa.Table
    run_id: np.ndarray
    loss: np.ndarray
    ok: np.ndarray
    degenerate: np.ndarray

    @staticmethod
    def of(source: str, rows: Any) -> Results:
        """From a DataFrame or Arrow table.

        Raises:
            InvalidValue: it has no such column.
        """
        table = as_table(rows)
        missing = {"run_id", "status", "loss"} - set(table.column_names)
        if missing:
            raise InvalidValue(f"the results of stage `{source}` do not have the columns {sorted(missing)}")
        run_id = np.array(table.column("run_id").to_pylist(), dtype=str)
        loss = arrow_column(table.column("loss")).array().astype(np.float64)
        ok = (np.array(table.column("status").to_pylist(), dtype=object) == "ok") & np.isfinite(loss)
        outcome = table.column("outcome").to_pylist() if "outcome" in table.column_names else [None] * len(ok)
        return Results(table, run_id, loss, ok, np.array([one == DEGENERATE for one in outcome], bool))


def as_table(rows: Any) -> pa.Table:
    """A pandas DataFrame or an Arrow table as an Arrow table."""
    import pyarrow as pa

    return rows if isinstance(rows, pa.Table) else pa.Table.from_pandas(rows, preserve_index=False)


def inherited_axes(stage: Stage, names: tuple[str, ...]) -> tuple[str, ...]:
    """Axes of the source that the later stage takes over.

    Those of `by`, unless they are compared only; and all of `problem.*` where the stage has no problem of its own: each
    of its runs has the problem of the run that it starts from.
    """
    start = stage.start
    by = () if start.pick == "nearest" else start.by
    takes_all = stage.problem is None and start.pick != "group"
    problem = tuple(name for name in names if name.startswith("problem.")) if takes_all else ()
    return tuple(dict.fromkeys((*by, *problem)))


def start_rows(stage: Stage, source: str, rows: Any, axes: Mapping[str, Any]) -> Starts:
    """The rows that a stage starts from, once its source is complete; not for the pick "nearest".

    Args:
        stage: the later stage.
        source: name of the stage that it starts from.
        rows: the source's summary rows.
        axes: the source plan's header entry `axes`.

    Returns:
        One point a group ("best", "group"), a rank of a group ({"best": n}) or a run ("all", {"run": id}): the
        inherited axes; start.<p> = theta; scale.<p> = stderr where it is finite and positive; tag.source = run id;
        tag.rank; for "group" `members` in the place of start, scale and tag.source; `blocked` = why there is no start.

    Raises:
        UnknownName: pick {"run": id} fits no run.
        InvalidValue: it fits several, or a column is missing.
    """
    results = Results.of(source, rows)
    inherited = axis_columns(inherited_axes(stage, tuple(axes)), results.table, axes)
    warnings: tuple[str, ...] = ()
    match stage.start.pick:
        case "group":
            return _groups(stage, source, results, inherited)
        case "best":
            code = combinations(len(results.run_id), inherited, stage.start.by, ()).code
            chosen, rank, warnings = _best(stage, source, code, results)
        case "all":
            chosen, rank = np.arange(len(results.run_id)), None
        case _:
            chosen, rank = _one(stage, source, results.run_id), None
    columns: Columns = {path: column.take(chosen) for path, column in inherited.items()}
    if rank is not None:
        columns[RANK_TAG] = Column("int", rank)
    columns |= estimates(stage, results, chosen, results.ok[chosen])
    if not results.ok[chosen].all():
        columns[BLOCKED] = _reasons(source, columns, stage, results.run_id[chosen], results.ok[chosen])
    return Starts(leaf=_leaf(stage, columns, len(chosen)), warnings=warnings)


def planned_rows(stage: Stage, n: int, columns: Columns) -> Leaf:
    """The same points, before the source has run: the inherited axes only, as if all its runs ended ok.

    Args:
        stage: the later stage.
        n, columns: the points of the source.
    """
    start = stage.start
    paths = [path for path in inherited_axes(stage, tuple(columns)) if path in columns]
    groups = combinations(n, columns, [path for path in start.by if path in columns], ())
    more: Columns = {}
    match start.pick:
        case "all":
            chosen = np.arange(n)
        case "best" if start.n is not None:
            counts = np.minimum(np.bincount(groups.code), start.n)
            chosen = np.repeat(groups.first, counts)
            more[RANK_TAG] = Column("int", _within(counts) + 1)
        case "best":
            chosen = groups.first
        case "group":
            chosen = groups.first
            more[COUNT_TAG] = Column("int", np.bincount(groups.code))
        case _:
            chosen = np.zeros(1, dtype=np.intp)
    taken: Columns = {path: columns[path].take(chosen) for path in paths}
    return _leaf(stage, taken | more, len(chosen))


def axis_columns(paths: tuple[str, ...], table: pa.Table, axes: Mapping[str, Any]) -> Columns:
    """Columns of a table of plan or summary rows.

    Raises:
        InvalidValue: one is not there.
    """
    columns: Columns = {}
    for path in paths:
        if path not in table.column_names:
            raise InvalidValue(f"the results to start from have no column `{path}`")
        column = arrow_column(table.column(path))
        if axes.get(path, {}).get("type") == "json":
            column = Column("json", column.data, tuple(json.loads(v) for v in column.values), column.present)
        columns[path] = column
    return columns


def estimates(stage: Stage, results: Results, chosen: np.ndarray, has_start: np.ndarray) -> Columns:
    """theta → start, stderr → scale, id → tag.source of chosen rows; what the stage sets itself is left alone."""
    columns: Columns = {}
    for name in results.table.column_names:
        kind, _, parameter = name.partition(".")
        path = {"theta": f"start.{parameter}", "stderr": f"scale.{parameter}"}.get(kind)
        own = stage.start.values if kind == "theta" else stage.scale
        if path is None or parameter in own:
            continue
        column = arrow_column(results.table.column(name)).as_float().take(chosen)
        if column.kind != "float":  # a column of nulls only
            continue
        usable = has_start & column.where_present() & ((column.data > 0) | (kind == "theta"))
        if usable.any():
            columns[path] = masked(column, usable)
    columns[SOURCE_TAG] = masked(column_of(results.run_id[chosen].tolist()), has_start)
    return columns


def masked(column: Column, present: np.ndarray) -> Column:
    """The column where it is present."""
    return Column(column.kind, column.data, column.values, None if present.all() else present)


def _leaf(stage: Stage, columns: Columns, n: int) -> Leaf:
    return Leaf(columns, n, dict.fromkeys(columns, pointer(stage.place, "start")))


def _within(counts: np.ndarray) -> np.ndarray:
    """0 … c−1 for each count c, one after the other."""
    return np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)


def _best(
    stage: Stage, source: str, code: np.ndarray, results: Results
) -> tuple[np.ndarray, np.ndarray | None, tuple[str, ...]]:
    """The n runs of each group with the lowest loss among those that ended ok, degenerate ones last; ties by
    run id.

    Returns:
        (rows, rank from 1 or None without `n`, warnings). A group without a run that ended ok gives one row.
    """
    n, ok = stage.start.n or 1, results.ok
    order = np.lexsort((results.run_id, np.where(ok, results.loss, np.inf), results.degenerate, ~ok, code))
    rank = _within(np.bincount(code)) + 1
    kept = (rank == 1) | ((rank <= n) & ok[order])
    n_ok = np.bincount(code, weights=ok).astype(int)
    short = np.flatnonzero((n_ok > 0) & (n_ok < n))
    warnings = ()
    if len(short):
        text = f"{len(short):,} of {len(n_ok):,} groups of stage `{source}` have fewer than {n} runs that ended ok"
        warnings = (f"{pointer(stage.place, 'start', 'pick')}: {text}; the fewest are {n_ok[short].min()}",)
    return order[kept], rank[kept] if stage.start.n is not None else None, warnings


def _groups(stage: Stage, source: str, results: Results, inherited: Columns) -> Starts:
    """One point a group, with the key of its members: all runs that ended ok."""
    groups = combinations(len(results.run_id), inherited, stage.start.by, ())
    keys, members = members_of(results.run_id, _attempts(results), groups.code, results.ok, len(groups))
    columns: Columns = {path: column.take(groups.first) for path, column in inherited.items()}
    has_members = np.array([key is not None for key in keys], dtype=bool)
    columns[MEMBERS] = masked(column_of([key or "" for key in keys]), has_members)
    columns[COUNT_TAG] = Column("int", np.array([n_members(key) if key else 0 for key in keys]))
    if not has_members.all():
        columns[BLOCKED] = _reasons(source, columns, stage, results.run_id[groups.first], has_members)
    return Starts(leaf=_leaf(stage, columns, len(groups)), members=members)


def _attempts(results: Results) -> np.ndarray:
    """How often each run had been tried before."""
    if "attempt" not in results.table.column_names:
        return np.zeros(len(results.run_id), dtype=np.int64)
    return results.table.column("attempt").fill_null(0).to_numpy().astype(np.int64)


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


def _reasons(source: str, columns: Columns, stage: Stage, run_id: np.ndarray, has_start: np.ndarray) -> Column:
    reasons = []
    for i in range(len(has_start)):
        if stage.start.pick in ("best", "group"):
            group = ", ".join(f"{path} = {shown(columns[path].value(i))}" for path in stage.start.by)
            reasons.append(f"no run of stage `{source}`" + (f" with {group}" if group else "") + " ended ok")
        else:
            reasons.append(f"the run {run_id[i]} of stage `{source}` did not end ok")
    return masked(column_of(reasons), ~has_start)
