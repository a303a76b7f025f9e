"""A block, from its address to its records: build, compile, run, record; what fails is kept apart."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from campaign.engines.base import OK_OUTCOMES
from campaign.engines.loop import Compiled, Finished, Stopped, run_lanes
from campaign.errors import CampaignError
from campaign.store.failures import FAILED
from campaign.store.layout import BlockTask, Layout
from campaign.store.lines import Columns, Same, json_lines, taken
from campaign.store.records import loads, publish_json
from campaign.store.summaries import DIRECTORIES
from campaign.work.building import Group, build_block, describe_error
from campaign.work.compiling import compiled_for
from campaign.work.control import Control
from campaign.work.declaration import description, trace_spec, versions
from campaign.work.jax_runtime import device_name, host_name
from campaign.work.planned_block import PlannedBlock, load_block, program_run_ids, time_text
from campaign.work.records import block_metrics, failed_columns, group_columns
from campaign.work.sink import BlockSink
from campaign.work.trace_writer import TraceOutput

Record = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What a block leaves.

    Attributes:
        lines: the record of each run as a line of JSON, in row order.
        metas: with layout "directories" what each run's meta.json says.
        failed: the records of the runs that failed.
        outcomes: how many runs ended how.
        n_steps: of all runs together.
    """

    lines: list[bytes]
    metas: list[Record] | None
    failed: list[Record]
    outcomes: dict[str, int]
    n_steps: int
    compile_s: float
    n_compiles: int


@dataclass(slots=True, kw_only=True)
class Execution:
    """What one execution of a block gathers: everything that its records are made of.

    Attributes:
        started: seconds of the epoch.
        seconds: that computing took, from then on.
        has_folders: each run has a folder of its own.
    """

    layout: Layout
    block: PlannedBlock
    control: Control
    started: float
    checkpoint_s: float
    has_folders: bool
    is_whole: bool
    seconds: float = 0.0
    output: TraceOutput | None = None
    compile_s: float = 0.0
    n_compiles: int = 0
    found: list[tuple[np.ndarray, Columns]] = field(default_factory=list)

    def fail(self, rows: Sequence[int] | np.ndarray, reasons: Sequence[str]) -> None:
        """Note runs that could not be carried through."""
        if len(rows):
            self.found.append((np.asarray(rows, int), failed_columns(reasons)))


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
    built = build_block(block.recipe, block.columns, block.run_ids)
    execution = Execution(
        layout=layout,
        block=block,
        control=control,
        started=started,
        checkpoint_s=identity.get("checkpoint_s", 30.0),
        has_folders=identity.get("layout") == DIRECTORIES,
        is_whole=len(built.groups) == 1,
    )
    execution.fail(list(built.failures), list(built.failures.values()))
    try:
        for group in built.groups:
            _run_group(execution, group)
    except Stopped:
        return None
    execution.seconds = max(0.0, time.time() - started)
    return execution


def records(execution: Execution) -> Done:
    """The records of all runs, in row order; the arrays that belong to them are on disk then.

    Raises:
        Unavailable: the arrays could not be written.
    """
    block = execution.block
    metas = block.metas(versions()) if execution.has_folders else None
    who = block.identities()
    n = len(block.run_ids)
    common = {"started_at": time_text(execution.started), "host": host_name(), "device": device_name()}
    steps = np.zeros(n, int)
    for rows, columns in execution.found:
        steps[rows] = columns["n_steps"]
    each = max(0.0, execution.seconds - execution.compile_s) / (steps.sum() + n)
    shared = {
        "runtime_s": np.round(each * (steps + 1), 9),  # a block's seconds, shared by the steps that runs took
        "compile_s": Same(round(execution.compile_s / n, 9)),
        **{name: Same(value) for name, value in common.items()},
    }
    lines: list[bytes] = [b""] * n
    outcomes: Counter[str] = Counter()
    for rows, columns in execution.found:
        own = {name: taken(column, rows) for name, column in (who | shared).items()}
        for row, line in zip(rows.tolist(), json_lines({**own, **columns}, len(rows)), strict=True):
            lines[row] = line
        outcome = columns["outcome"]
        outcomes.update({outcome.value: len(rows)} if isinstance(outcome, Same) else outcome)
    if execution.output is not None:
        execution.output.flush()
    is_clean = OK_OUTCOMES.issuperset(outcomes)
    failed = [] if is_clean else [loads(line) for line in lines if FAILED in line]
    return Done(
        lines=lines,
        metas=metas,
        failed=[record for record in failed if record["status"] == "failed"],
        outcomes=dict(outcomes),
        n_steps=int(steps.sum()),
        compile_s=execution.compile_s,
        n_compiles=execution.n_compiles,
    )


def _run_group(execution: Execution, group: Group) -> None:
    """Run a group. Out of memory: its halves in turn. A model that raises: its runs fail, with the reason."""
    try:
        _compute(execution, group)
    except (Stopped, CampaignError):
        raise
    except (Exception, SystemExit) as error:  # a model that calls sys.exit fails its own runs
        if is_out_of_memory(error) and len(group.rows) > 1:
            execution.is_whole = False
            if execution.output is not None:
                execution.output.is_whole = False
            for half in group.halves():
                _run_group(execution, half)
            return
        reason = ("out of memory: " if is_out_of_memory(error) else "") + describe_error(error)
        execution.fail(group.rows, [reason] * len(group.rows))


def _compute(execution: Execution, group: Group) -> None:
    block, layout = execution.block, execution.layout
    compiled, seconds = compiled_for(group, block.fields)
    execution.compile_s += seconds
    execution.n_compiles += seconds > 0
    _open_output(execution, group, compiled)
    sink = BlockSink(
        layout=layout,
        task=block.task,
        group=group,
        output=execution.output,
        control=execution.control,
        is_checkpointed=execution.is_whole,
        checkpoint_s=execution.checkpoint_s,
        timeout_s=block.header.get("timeout_s"),
    )
    is_valid = np.arange(len(group.batch.words)) < len(group.rows)
    finished = run_lanes(compiled, group.batch, is_valid, sink, sink.resume())
    if execution.output is not None:
        execution.output.put(0, group.rows, finished.result.arrays)  # pyright: ignore[reportArgumentType]
    metrics = block_metrics(finished, group) | _diagnosed(execution, group, finished)
    _describe(execution, group, compiled, tuple(metrics))
    execution.found.append((group.rows, group_columns(finished, group, metrics)))


def _open_output(execution: Execution, group: Group, compiled: Compiled) -> None:
    block = execution.block
    if execution.output is not None or block.fields == frozenset():
        return
    task = block.task
    spec = block.recipe.memory.get(compiled)
    if spec is None:
        attributes = {"stage": task.stage, "program": block.program, **_names(block.header)}
        run_ids = partial(program_run_ids, block, execution.layout)
        spec = trace_spec(compiled.shapes, group, block.recipe.capacity, block.header["n_rows"], run_ids, attributes)
        block.recipe.memory[compiled] = spec
    if not spec.fields:
        return
    execution.output = TraceOutput.open(
        execution.layout,
        task.stage,
        block.program,
        spec,
        row_chunk=block.row_chunk,
        n_runs=len(block.run_ids),
        is_whole=execution.is_whole,
    )


def _names(header: Mapping[str, Any]) -> dict[str, str]:
    return {"problem": header["problem"]["name"], "engine": header["engine"]["name"]}


def _diagnosed(execution: Execution, group: Group, finished: Finished) -> dict[str, np.ndarray]:
    """Metrics that need a run's whole trace, read back from disk one run at a time."""
    engine = group.batch.work.engine
    names = engine.diagnose_fields()
    if not names or execution.output is None:
        return {}
    execution.output.flush()
    rows: list[dict[str, float]] = []
    for lane, row in enumerate(group.rows):
        n_steps = int(finished.n_steps[lane])
        trace = {name: execution.output.read(name, execution.block.first_row + int(row), n_steps) for name in names}
        rows.append(engine.diagnose(trace) if n_steps else {})
    found = sorted({name for row in rows for name in row})
    return {name: np.array([row.get(name, np.nan) for row in rows]) for name in found}


def _describe(execution: Execution, group: Group, compiled: Compiled, metrics: tuple[str, ...]) -> None:
    """Publish what the program's runs report, once."""
    block = execution.block
    path = execution.layout.program(block.task.stage, block.program)
    if not path.exists():
        fields = execution.output.spec.fields if execution.output is not None else ()
        text = description(compiled.shapes, group, fields, block.header, metrics)
        publish_json(path, text)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory ran out, on the host or the device."""
    return isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error)
