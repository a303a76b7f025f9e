"""Typed retry: which runs are tried again, and what they get more of. Ids stay; the newest attempt of an id counts.

A retry is a new part of the plan with new rows for the runs, one attempt more. What workers lose (a node, a walltime, a
preemption) is not an attempt: such a block is handed out again under the same attempt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from campaign.manifest.retry import FAILURES, NONCONVERGED, OOM, TIMEOUT, RetryRule, raised_steps
from campaign.schedule.pending import block_sizes, finished_runs, replan_failed, runs_of
from campaign.store import plan as plans
from campaign.store.events import EventLog
from campaign.store.layout import BlockTask, Layout

if TYPE_CHECKING:
    from campaign.manifest.model import Stage

Entry = dict[str, Any]
SPLIT = 8  # a block that was lost too often is divided by


def kind_of(outcome: str, message: str | None) -> str:
    """The kind of an ending, as `retry` names it."""
    if outcome == "budget":
        return NONCONVERGED
    if outcome == "error" and (message or "").startswith("out of memory"):
        return OOM
    return outcome


def retry_due(layout: Layout, stage: Stage, events: EventLog) -> dict[str, int]:
    """Plan again what the stage's `retry` asks for, from the table, which must be up to date.

    Returns:
        How many runs of each kind; none when everything is as it will stay.
    """
    if not stage.retry:
        return {}
    rows = _ended(layout, stage.name)
    wanted = {kind: [] for kind in stage.retry}
    for row in rows.to_pylist():
        kind = kind_of(row["outcome"], row["message"])
        if kind in wanted and row["attempt"] < stage.retry[kind].times:
            wanted[kind].append(row["run_id"])
    return plan_again(layout, stage, wanted, events)


def retry_runs(
    layout: Layout, stage: Stage, run_ids: Iterable[str], kinds: Iterable[str], factor: float | None, events: EventLog
) -> dict[str, int]:
    """Plan runs again because a person asks for it, whatever the manifest's `retry` says of how often.

    Args:
        layout, stage, events: of the campaign.
        run_ids: which runs; all when empty.
        kinds: of these endings; all failures when empty.
        factor: of time and steps; the manifest's, or 2, when None.
    """
    chosen = frozenset(run_ids)
    wanted = {kind: [] for kind in (tuple(kinds) or FAILURES)}
    for row in _ended(layout, stage.name).to_pylist():
        kind = kind_of(row["outcome"], row["message"])
        if kind in wanted and (not chosen or row["run_id"] in chosen):
            wanted[kind].append(row["run_id"])
    rules = None if factor is None else dict.fromkeys(wanted, RetryRule(factor=factor))
    return plan_again(layout, stage, wanted, events, rules)


def plan_again(
    layout: Layout,
    stage: Stage,
    wanted: Mapping[str, list[str]],
    events: EventLog,
    rules: Mapping[str, RetryRule] | None = None,
) -> dict[str, int]:
    """One plan part for each kind that has runs whose latest attempt has ended; says so in the journal."""
    counts = {}
    for kind, run_ids in wanted.items():
        finished = finished_runs(layout, stage.name, run_ids) if run_ids else []
        if finished:
            rule = (stage.retry if rules is None else rules).get(kind, RetryRule())
            part = replan_failed(layout, stage.name, finished, change=_more(kind, rule.factor, stage.timeout_s))
            plans.write_part(layout, part)
            events.append("retried", stage=stage.name, kind=kind, n_runs=len(finished), durable=True)
            counts[kind] = len(finished)
    return counts


def split_lost(layout: Layout, stage: str, lost: Iterable[BlockTask], events: EventLog) -> int:
    """Plan the runs of blocks that were lost too often in smaller blocks, so that one run cannot keep the others.

    No attempt of theirs: they have not failed. Blocks of one run are left as they are.

    Returns:
        How many runs.
    """
    sizes = block_sizes(layout, stage)
    run_ids = runs_of(layout, stage, [task for task in lost if sizes.get(task, 0) > 1])
    if run_ids:

        def smaller(entry: Entry) -> Entry:
            return entry | {"block_size": max(1, entry["block_size"] // SPLIT)}

        plans.write_part(layout, replan_failed(layout, stage, run_ids, change=smaller, is_attempt=False))
        events.append("split", stage=stage, n_runs=len(run_ids), durable=True)
    return len(run_ids)


def _more(kind: str, factor: float, timeout_s: float | None) -> Callable[[Entry], Entry]:
    """What a program gets at its retry: its header entry, changed."""

    def change(entry: Entry) -> Entry:
        before = entry.get("timeout_s")
        if kind == TIMEOUT and before is not None:
            return entry | {"timeout_s": max(before * factor, timeout_s or 0.0)}  # a manifest that gives more counts
        if kind == NONCONVERGED:
            return entry | {"engine": raised_steps(entry["engine"], factor)}
        return entry | {"block_size": 1} if kind == OOM else entry

    return change


def _ended(layout: Layout, stage: str) -> pa.Table:
    """Runs of a stage that failed, or used up their steps."""
    columns = ["run_id", "stage", "status", "outcome", "message", "attempt"]
    table = pq.read_table(layout.table, columns=columns, filters=[("stage", "=", stage)])
    is_ended = pc.or_kleene(pc.equal(table["status"], "failed"), pc.equal(table["outcome"], "budget"))
    return table.filter(is_ended)
