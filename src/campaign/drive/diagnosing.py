"""`"trace": {"diagnostics": "failed"}`: failed runs are planned once more, with every array recorded.

The same run id gives the same random key, and what is recorded never changes what is computed: the run fails again, bit
for bit. It is no attempt. Runs that hung, or took their worker with them, are left alone.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

from campaign.drive.retry import kind_of
from campaign.manifest.retry import TIMEOUT
from campaign.schedule.pending import finished_runs, replan_failed
from campaign.store import plan as plans
from campaign.store.events import EventLog
from campaign.store.layout import Layout
from campaign.store.trace_policy import EVERYTHING

if TYPE_CHECKING:
    from campaign.manifest.model import Stage

_LEFT_ALONE = frozenset({TIMEOUT, "lost"})


def diagnose_due(layout: Layout, stage: Stage, events: EventLog) -> dict[str, int]:
    """Plan the failed runs of a stage once more that have not been recorded in every detail; the table is up to date.

    Returns:
        How many runs of each kind of failure; none where nothing is left to diagnose.
    """
    if stage.trace.diagnostics != "failed":
        return {}
    everything = EVERYTHING.document()
    entries = plans.programs(layout, stage.name)
    columns = ["run_id", "stage", "status", "outcome", "message", "program"]
    table = pq.read_table(
        layout.table, columns=columns, filters=[("stage", "=", stage.name), ("status", "=", "failed")]
    )
    kinds = {
        row["run_id"]: kind_of(row["outcome"], row["message"])
        for row in table.to_pylist()
        if entries[row["program"]].get("trace") != everything and row["outcome"] not in _LEFT_ALONE
    }
    due = finished_runs(layout, stage.name, kinds) if kinds else []
    if not due:
        return {}

    def in_detail(entry: dict[str, Any]) -> dict[str, Any]:
        return entry | {"trace": everything}

    plans.write_part(layout, replan_failed(layout, stage.name, due, change=in_detail, is_attempt=False))
    events.append("diagnosed", stage=stage.name, n_runs=len(due), durable=True)
    return dict(Counter(kinds[run_id] for run_id in due))
