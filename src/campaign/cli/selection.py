"""Runs by id, state and condition, as commands take them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa


def select_runs(
    directory: str | Path,
    *,
    state: str = "all",
    where: str | None = None,
    ids: Sequence[str] = (),
    stage: str | None = None,
    columns: Sequence[str] | None = None,
) -> pa.Table:
    """Rows of the summary table, brought up to date.

    Args:
        directory: of the campaign.
        state: all, ok, failed, done or pending.
        where: a condition over columns.
        ids: beginnings of run ids; ``-`` reads them from standard input.
        stage: only this one.
        columns: which columns; None for all.

    Raises:
        UnknownName: no such campaign, stage, state or column.
        InvalidValue: the condition is not in the grammar.
    """
    import pyarrow.compute as pc

    from campaign.analysis.handle import open_campaign
    from campaign.analysis.select import select
    from campaign.errors import UnknownName, nearest
    from campaign.expression import Expression

    handle = open_campaign(directory)
    condition = None if where is None else Expression.parse(where)
    wanted = None
    if columns is not None:
        needed = {"run_id", "stage", "status", *columns, *(condition.names if condition else ())}
        wanted = [name for name in _names(handle) if name in needed]
    table = handle.arrow(wanted)
    if stage is not None:
        if stage not in handle.stages:
            raise UnknownName(f"unknown stage `{stage}`", hint=nearest(stage, handle.stages))
        table = table.filter(pc.equal(table["stage"], stage))
    prefixes = [prefix for prefix in ids if prefix != "-"]
    if "-" in ids:
        prefixes += sys.stdin.read().split()
        if not prefixes:
            return table.slice(0, 0)
    return select(table, state=state, where=condition, ids=prefixes)


def _names(handle) -> list[str]:
    import pyarrow.parquet as pq

    from campaign.analysis.handle import refresh

    refresh(handle.layout)
    return pq.read_schema(handle.layout.table).names
