"""The pick "nearest": each run of a stage starts from the run of an earlier one whose keys are nearest to its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from campaign.errors import Diagnostic, ManifestError
from campaign.manifest.columns import Column, Columns, column_of, scatter
from campaign.manifest.diagnose import pointer, shown
from campaign.manifest.model import Stage
from campaign.schedule.starts import BLOCKED, Results, axis_columns, estimates, inherited_axes, masked

_TIE = 1e-9  # distances that agree to nine digits are equal: 0.15 is as near to 0.1 as to 0.2


def with_nearest(
    stage: Stage, source: str, rows: Any, axes: Mapping[str, Any], columns: Columns
) -> tuple[Columns, dict[str, str]]:
    """The points of a stage with what they take over: start.<p>, scale.<p>, tag.source, problem.<option>, `blocked`.

    Args:
        stage, columns: the later stage and its own points, after `derive`, `exclude` and `replicates`.
        source, rows, axes: the stage that it starts from, its summary rows, and its plan header's entry `axes`.

    Returns:
        The columns, and the places of those that are taken over. What a point sets itself holds.
    """
    results = Results.of(source, rows)
    theirs = axis_columns(stage.start.by, results.table, axes)
    index = nearest(stage, theirs, columns, results.ok, results.loss, results.run_id)
    has_start = index >= 0
    chosen = np.maximum(index, 0)
    taken = axis_columns(inherited_axes(stage, tuple(axes)), results.table, axes)
    more: Columns = {path: column.take(chosen) for path, column in taken.items()}
    more |= estimates(stage, results, chosen, has_start)
    if not has_start.all():
        more[BLOCKED] = _reasons(stage, source, columns, has_start)
    return _joined(stage, columns, more)


def with_planned(stage: Stage, theirs: Columns, n: int, columns: Columns) -> tuple[Columns, dict[str, str]]:
    """The same before the source has run, as if its `n` runs all ended ok: the inherited axes only."""
    if not {*stage.start.by} <= theirs.keys() & columns.keys():
        return columns, {}
    index = nearest(stage, theirs, columns, np.ones(n, dtype=bool), np.zeros(n), np.arange(n))
    paths = [path for path in inherited_axes(stage, tuple(theirs)) if path in theirs]
    return _joined(stage, columns, {path: theirs[path].take(np.maximum(index, 0)) for path in paths})


def nearest(
    stage: Stage, theirs: Columns, own: Columns, ok: np.ndarray, loss: np.ndarray, run_id: np.ndarray
) -> np.ndarray:
    """For each point the row of the source with the smallest d; −1 where there is none, or a key is not set.

    d² = Σ_k ((own_k − theirs_k) / scale_k)². Distances that agree to nine digits are ties: they go to the lower loss,
    then to the smaller run id.

    Args:
        stage: `start.by` and `start.scales` are the keys.
        theirs, own: columns of the source's runs and of the points.
        ok, loss, run_id: of the source's runs.

    Raises:
        ManifestError: a key that holds no numbers.
    Checked: tests/unit/schedule/test_nearest.py against all distances.
    """
    from scipy.spatial import KDTree

    points, is_set = _coordinates(stage, own)
    sites, are_set = _coordinates(stage, theirs)
    index = np.full(len(points), -1)
    rows = np.flatnonzero(ok & are_set)
    rows = rows[np.lexsort((run_id[rows], loss[rows]))]  # the first of equals is the one to take
    if not len(rows) or not is_set.any():
        return index
    _, exponent = np.frexp(max(np.abs(sites[rows]).max(initial=0), np.abs(points[is_set]).max(initial=0)))
    unit = np.ldexp(1.0, -max(int(exponent) - 300, 0))  # squares of numbers beyond 1e154 would overflow
    distinct, first = np.unique(sites[rows] * unit, axis=0, return_index=True)
    tree = KDTree(distinct)
    wanted, inverse = np.unique(points[is_set] * unit, axis=0, return_inverse=True)
    radius, _ = tree.query(wanted)
    ties = tree.query_ball_point(wanted, radius * (1 + _TIE))
    order = np.array([first[tied].min() for tied in ties])
    index[is_set] = rows[order][inverse.reshape(-1)]
    return index


def _coordinates(stage: Stage, columns: Columns) -> tuple[np.ndarray, np.ndarray]:
    """Keys divided by their scales, shape (n, k), and where all of them are set."""
    values, present = [], []
    for path, scale in zip(stage.start.by, stage.start.scales, strict=True):
        column = columns[path]
        if column.is_coded:
            message = f"the axis `{path}` holds {column.kind} values: only numbers are near to each other"
            raise ManifestError([Diagnostic(place=pointer(stage.place, "start", "by"), message=message)])
        with np.errstate(over="ignore"):  # what is infinitely far is near to nothing
            values.append(column.data.astype(np.float64) / scale)
        present.append(column.where_present() & np.isfinite(values[-1]))
    return np.stack(values, axis=1), np.logical_and.reduce(present)


def _joined(stage: Stage, columns: Columns, more: Columns) -> tuple[Columns, dict[str, str]]:
    joined = dict(columns)
    for path, column in more.items():
        own = columns.get(path)
        if own is None:
            joined[path] = column
        elif not own.where_present().all():
            gaps, filled = np.flatnonzero(~own.where_present()), np.flatnonzero(own.where_present())
            joined[path] = scatter(len(own), [(filled, own.take(filled)), (gaps, column.take(gaps))])
    return joined, dict.fromkeys(more, pointer(stage.place, "start"))


def _reasons(stage: Stage, source: str, columns: Columns, has_start: np.ndarray) -> Column:
    """Why a point has no start; with its keys, so that points that differ in tags only stay different runs."""
    reasons = []
    for i in np.flatnonzero(~has_start).tolist():
        keys = ", ".join(f"{path} = {shown(columns[path].value(i))}" for path in stage.start.by)
        reasons.append(f"no run of stage `{source}` ended ok that could be near to {keys}")
    column = column_of(reasons or [""])
    spread = np.zeros(len(has_start), dtype=np.int64)
    spread[~has_start] = np.arange(len(reasons))
    return masked(column.take(spread), ~has_start)
