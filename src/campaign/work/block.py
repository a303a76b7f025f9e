"""A block, from its address to its records: build, compile, run, record; what fails is kept apart."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from campaign.engines.base import AbstractEngine
from campaign.engines.loop import Continued, Finished, Stopped, are_spent, run_lanes
from campaign.engines.program import Program
from campaign.engines.row_program import Alone, Crew
from campaign.errors import CampaignError, Damage
from campaign.own_code import Told, told
from campaign.store.layout import BlockTask, Layout
from campaign.store.lines import Columns
from campaign.store.states import Kept
from campaign.store.summaries import DIRECTORIES
from campaign.work.building import build_block
from campaign.work.compiling import compiled_for
from campaign.work.control import Control
from campaign.work.declaration import description, trace_spec
from campaign.work.desk import Desk, DiskDesk, Output
from campaign.work.gang.leader import crew, manned
from campaign.work.group import Group
from campaign.work.kept_passes import KeptPasses
from campaign.work.model_failures import ask_ahead, close, failure_metrics, with_details, with_failures
from campaign.work.planned_block import PlannedBlock, load_block, program_run_ids
from campaign.work.records import are_failed, block_metrics, failed_columns, group_columns
from campaign.work.sink import BlockSink
from campaign.work.starts import starts_of
from campaign.work.watchdog import BUILDING, RUNNING, TRACING, Watchdog

PARTS = 16  # of a group that hung or crashed: each try costs a process, and the time of all runs that are in it


@dataclass(slots=True, kw_only=True)
class Execution:
    """What one execution of a block gathers: everything that its records are made of.

    Attributes:
        started: seconds of the epoch.
        run_ids: gives the ids of all runs of the program, for the coordinate of its trace group.
        has_folders: each run has a folder of its own.
        is_strict: an exception of a plug-in is raised instead of becoming a failed run.
        crew: who makes the passes over the rows of fits by row blocks.
        seconds: that computing took, from `started` on.
        starts: row of a run → all its parameters at the start, where records go into folders.
    """

    desk: Desk
    block: PlannedBlock
    control: Control
    started: float
    run_ids: Callable[[], np.ndarray]
    watchdog: Watchdog = field(default_factory=lambda: Watchdog(Path(), None))
    checkpoint_s: float = math.inf
    has_folders: bool = False
    is_strict: bool = False
    is_whole: bool = True
    crew: Crew = field(default_factory=Alone)
    seconds: float = 0.0
    output: Output | None = None
    compile_s: float = 0.0
    n_compiles: int = 0
    found: list[tuple[np.ndarray, Columns]] = field(default_factory=list)
    starts: dict[int, dict[str, float]] = field(default_factory=dict)

    def fail(self, rows: Sequence[int] | np.ndarray, reasons: Sequence[Told], outcome: str = "error") -> None:
        """Note runs that could not be carried through."""
        if len(rows):
            columns = failed_columns([reason.message for reason in reasons], outcome)
            details = [{"message": reason.message, "traceback": reason.stack} for reason in reasons]
            has_stack = any(reason.stack for reason in reasons)
            self.found.append((np.asarray(rows, int), {**columns, "failure": details} if has_stack else columns))


def compute_block(
    layout: Layout, task: BlockTask, control: Control, started: float, identity: Mapping[str, Any]
) -> Execution | None:
    """Run all runs of a block; None when `control` stopped it before the end. `records` makes the rest of it.

    Args:
        layout, task: which block.
        control: when to stop.
        started: seconds of the epoch.
        identity: content of campaign.json (layout mode, checkpoint interval).
    """
    block = load_block(layout, task, identity.get("id", ""))
    execution = Execution(
        desk=DiskDesk(layout=layout, task=task, program=block.program),
        block=block,
        control=control,
        started=started,
        run_ids=partial(program_run_ids, block, layout),
        watchdog=Watchdog(
            layout.hung(task.stage, task.part, task.block),
            block.header.get("timeout_s"),
            is_own=block.header.get("module") is not None,
        ),
        checkpoint_s=identity.get("checkpoint_s", 30.0),
        has_folders=identity.get("layout") == DIRECTORIES,
    )
    with crew(layout, task, identity.get("ranks_per_block", 1)) as own:
        execution.crew = KeptPasses(crew=own, layout=layout, task=task, must_stop=control.must_stop)
        return execution if execute(execution) else None


def execute(execution: Execution) -> bool:
    """Build and run all runs of a block. False when `control` stopped it before the end.

    The one way for every run, in a campaign as in `campaign.fit`.
    """
    block = execution.block
    watchdog = execution.watchdog
    built = build_block(block.recipe, block.columns, block.run_ids, strict=execution.is_strict, watchdog=watchdog)
    execution.is_whole = len(built.groups) == 1
    _note_failures(execution, built.failures)
    execution.starts = starts_of(built.groups) if execution.has_folders else {}
    try:
        for group in built.groups:
            _run_group(execution, group)
    except Stopped:
        return False
    finally:
        watchdog.close()
        for group in built.groups:
            close(group.batch.work.target.problem, len(group.rows))
    execution.seconds = max(0.0, time.time() - execution.started)
    return True


def _note_failures(execution: Execution, failures: Mapping[int, Told]) -> None:
    known = {row: hang.outcome for hang in execution.watchdog.hangs if hang.phase == BUILDING for row in hang.rows}
    for outcome in ("error", "timeout", "lost"):
        rows = [row for row in failures if known.get(row, "error") == outcome]
        execution.fail(rows, [failures[row] for row in rows], outcome)


def _run_group(execution: Execution, group: Group) -> None:
    """Run a group. Out of memory, or a model that raises, hung or crashed: its halves, down to the guilty run."""
    rows, watchdog = group.rows.tolist(), execution.watchdog
    hang = watchdog.hang_of(rows, TRACING) or watchdog.hang_of(rows, RUNNING)
    if hang is not None:
        if hang.phase == RUNNING and len(rows) > 1:
            return _run_parts(execution, group.parted(PARTS))
        return execution.fail(rows, [Told(hang.reason(watchdog.timeout_s), "")] * len(rows), hang.outcome)
    compiled = None
    try:
        with watchdog.over(rows, TRACING):
            compiled, seconds = compiled_for(group, watchdog.rest)
        execution.compile_s += seconds
        execution.n_compiles += seconds > 0
        with watchdog.over(rows, RUNNING):
            _compute(execution, group, compiled)
    except (Stopped, CampaignError):
        raise
    except (Exception, SystemExit) as error:  # a model that calls sys.exit fails its own runs
        if is_out_of_memory(error) and len(rows) > 1:
            return _run_parts(execution, group.halves())
        if execution.is_strict:
            raise
        if compiled is not None and len(rows) > 1:  # while it is traced, a program knows no single run
            return _run_parts(execution, group.parted())
        reason = told(error)
        if is_out_of_memory(error):
            reason = reason._replace(message=f"out of memory: {reason.message}")
        execution.fail(rows, [reason] * len(rows))


def _run_parts(execution: Execution, parts: Iterable[Group]) -> None:
    execution.is_whole = False
    if execution.output is not None:
        execution.output.is_whole = False
    for part in parts:
        _run_group(execution, part)


def _compute(execution: Execution, group: Group, compiled: Program) -> None:
    block = execution.block
    _open_output(execution, group, compiled)
    program = manned(compiled, execution.crew)
    sink = BlockSink(
        desk=execution.desk,
        group=group,
        output=execution.output,
        trace_policy=block.trace,
        first_row=block.first_row,
        control=execution.control,
        is_checkpointed=execution.is_whole,
        checkpoint_s=execution.checkpoint_s,
        timeout_s=block.header.get("timeout_s"),
    )
    is_valid = np.arange(len(group.batch.words)) < len(group.rows)
    resume = sink.resume()
    if resume is None:
        ask_ahead(group)
    earlier = _earlier(execution, group, compiled) if resume is None and execution.is_whole else None
    try:
        finished = run_lanes(program, group.batch, is_valid, sink, resume, earlier)
    except Damage:  # of the steps before: the same numbers, from the start
        finished = run_lanes(program, group.batch, is_valid, sink)
    sink.results(finished.result.arrays)  # pyright: ignore[reportArgumentType]
    accounts = close(group.batch.work.target.problem, len(group.rows))
    metrics = block_metrics(finished, group) | failure_metrics(accounts)
    columns = with_failures(group_columns(finished, group, metrics), accounts)
    if execution.output is not None and block.trace.runs == "failed":
        is_kept = are_failed(columns, len(group.rows)) | block.trace.are_detailed(block.first_row + group.rows)
        execution.output.forget(group.rows[~is_kept])
    if not execution.desk.is_described():
        spec = execution.output.spec if execution.output is not None else None
        execution.desk.describe(description(compiled.shapes, group, spec, block.header, tuple(metrics)))
    if execution.is_whole and block.header.get("keep_state") and isinstance(group.batch.work.engine, AbstractEngine):
        execution.desk.keep(_kept(group, finished))
    execution.found.extend(with_details(group.rows, columns, accounts))


def _earlier(execution: Execution, group: Group, compiled: Program) -> Continued | None:
    fields = execution.output.spec.fields if execution.output is not None else ()
    recorded = [field.name for field in fields if not field.once]
    return execution.desk.earlier(execution.block, group, compiled.shapes, recorded)


def _kept(group: Group, finished: Finished) -> Kept:
    n = len(group.rows)
    leaves = [np.asarray(leaf)[:n] for leaf in jax.tree.leaves(finished.lanes)]
    return Kept(
        rows=group.rows,
        is_spent=are_spent(group.batch, finished.lanes)[:n],
        chunk_steps=group.batch.work.engine.chunk_steps,
        leaves=leaves,
    )


def _open_output(execution: Execution, group: Group, compiled: Program) -> None:
    block = execution.block
    if execution.output is not None or block.trace.is_nothing:
        return
    key = (id(compiled.shapes), block.trace)  # not the program itself: a recipe would keep it for ever
    _, spec = block.recipe.memory.get(key, (None, None))
    if spec is None:
        attributes = {"stage": block.task.stage, "program": block.program, **_names(block.header)}
        spec = trace_spec(
            compiled.shapes,
            group,
            block.trace,
            capacity=block.recipe.capacity,
            n_rows=block.header["n_rows"],
            run_ids=execution.run_ids,
            attributes=attributes,
        )
        block.recipe.memory[key] = compiled.shapes, spec
    if spec.fields:
        execution.output = execution.desk.open(
            spec, row_chunk=block.row_chunk, n_runs=len(block.run_ids), is_whole=execution.is_whole
        )


def _names(header: Mapping[str, Any]) -> dict[str, str]:
    return {"problem": header["problem"]["name"], "engine": header["engine"]["name"]}


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory ran out, on the host or the device."""
    text = str(error)  # of a callback that raised, XLA keeps the text alone
    return isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in text or "MemoryError:" in text
