"""`run_block`: the only function that crosses a process boundary. Address of a block in, receipt out, truth on disk."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from campaign.execute.base import Control, Receipt
from campaign.execute.programs import PlannedBlock, load_block
from campaign.execute.runtime import host_name, start_jax, worker_name
from campaign.store import summaries
from campaign.store.checkpoints import discard
from campaign.store.events import EventLog
from campaign.store.layout import BlockTask, Layout

Record = dict[str, Any]


def run_block(directory: str | Path, task: BlockTask, control: Control | None = None) -> Receipt:
    """Run one block to its published summaries, unless it is published already.

    Idempotent: it may run any number of times, anywhere, also at once: the same bytes go to the same places.

    Args:
        directory: of the campaign.
        task: which block.
        control: draining and deadline; a block stops at its next chunk of steps, with a checkpoint.

    Raises:
        Unavailable: the disk is full or cannot be written, or JAX finds no device.
        Damage: the plan on disk contradicts itself.
    """
    layout = Layout(Path(directory))
    if layout.summaries(task.stage, task.part, task.block).exists():
        return Receipt(task=task, state="already", worker=worker_name())
    events = _journal(layout)
    place = {"stage": task.stage, "part": task.part, "block": task.block, "worker": worker_name()}
    events.append("block_started", **place)
    started = time.time()
    start_jax()
    block = load_block(layout, task)
    work = _BlockWork(layout=layout, block=block, control=control or Control(), started=started)
    records = work.run()
    if records is None:
        events.append("block_interrupted", **place, seconds=time.time() - started)
        return Receipt(task=task, state="interrupted", seconds=time.time() - started, worker=worker_name())
    metas = [block.meta(i) for i in range(len(records))] if block.layout_mode == summaries.DIRECTORIES else None
    summaries.publish_block(layout, task.stage, task.part, task.block, records, metas)
    discard(layout, task.stage, task.part, task.block)
    seconds = time.time() - started
    n_ok = sum(r["status"] == "ok" for r in records)
    events.append(
        "block_published",
        **place,
        n_ok=n_ok,
        n_failed=len(records) - n_ok,
        outcomes=dict(Counter(r["outcome"] for r in records)),
        failures=failure_signatures(records),
        n_steps=sum(r["n_steps"] for r in records),
        seconds=seconds,
        compile_s=work.compile_s,
        n_compiles=work.n_compiles,
    )
    return Receipt(
        task=task,
        state="published",
        n_ok=n_ok,
        n_failed=len(records) - n_ok,
        seconds=seconds,
        compile_s=work.compile_s,
        worker=worker_name(),
    )


_journals: dict[tuple[str, int], EventLog] = {}


def _journal(layout: Layout) -> EventLog:
    """This process's journal in a campaign, opened once; a forked child opens its own."""
    import os

    key = (str(layout.root), os.getpid())
    if key not in _journals:
        _journals[key] = EventLog(layout)
    return _journals[key]


def failure_signatures(records: Sequence[Record]) -> list[Record]:
    """Failed runs grouped by what went wrong, digits left out, with one example each."""
    groups: dict[str, Record] = {}
    for record in records:
        if record["status"] == "failed":
            message = record["message"] or ""
            head = message.split(";")[0]
            signature = f"{record['outcome']}: " + "".join("#" if c.isdigit() else c for c in head)[:160]
            group = groups.setdefault(
                signature, {"signature": signature, "message": message, "run_id": record["run_id"], "n": 0}
            )
            group["n"] += 1
    return list(groups.values())


@dataclass(slots=True)
class _BlockWork:
    """One execution of one block."""

    layout: Layout
    block: PlannedBlock
    control: Control
    started: float
    compile_s: float = 0.0
    n_compiles: int = 0
    records: dict[int, Record] = field(default_factory=dict)

    def run(self) -> list[Record] | None:
        """Records in row order; None when stopped before the end."""
        from campaign.engines.loop import Stopped
        from campaign.execute.building import build_block

        built = build_block(self.block.recipe, self.block.columns, self.block.run_ids)
        single = len(built.groups) == 1
        for group in built.groups:
            try:
                self._run_group(group, checkpoints=single)
            except Stopped:
                return None
        common = {"started_at": datetime.fromtimestamp(self.started, UTC).isoformat(timespec="milliseconds")}
        for i, reason in built.failures.items():
            self.records[i] = _failed(reason)
        runtime = time.time() - self.started - self.compile_s
        self._share_time(runtime)
        return [self.block.identity(i) | common | self.records[i] for i in range(len(self.block.run_ids))]

    def _run_group(self, group: Any, *, checkpoints: bool) -> None:
        from campaign.engines.loop import Stopped
        from campaign.execute.building import describe_error
        from campaign.errors import Unavailable

        try:
            self._compute(group, checkpoints=checkpoints)
        except (Stopped, Unavailable):
            raise
        except Exception as error:  # noqa: BLE001 - model code: the smallest half that fails gets the outcome
            if _is_out_of_memory(error) and len(group.rows) > 1:
                for half in group.halves():
                    self._run_group(half, checkpoints=False)
                return
            reason = describe_error(error)
            if _is_out_of_memory(error):
                reason = f"out of memory: {reason}"
            self.records.update({int(i): _failed(reason) for i in group.rows})

    def _compute(self, group: Any, *, checkpoints: bool) -> None:
        from campaign.engines.loop import run_lanes
        from campaign.execute.compiling import compiled_for
        from campaign.execute.recording import block_metrics, group_records
        from campaign.execute.sink import BlockSink

        compiled, seconds = compiled_for(group, self.block.fields)
        self.compile_s += seconds
        self.n_compiles += seconds > 0
        sink = BlockSink.open(self.layout, self.block, group, compiled, self.control, checkpoints=checkpoints)
        is_valid = np.arange(len(group.batch.words)) < len(group.rows)
        finished = run_lanes(compiled, group.batch, is_valid, sink, sink.resume())
        sink.arrays(finished.result.arrays)
        metrics = block_metrics(finished, group)
        metrics |= sink.diagnose(finished.n_steps)
        self.block.describe(self.layout, compiled, group, sink.spec, tuple(metrics))
        records = group_records(finished, group, {}, metrics)
        self.records.update({int(i): record for i, record in zip(group.rows, records, strict=True)})

    def _share_time(self, runtime: float) -> None:
        """A block's seconds, shared among its runs by the steps that they took."""
        steps = {i: r["n_steps"] + 1 for i, r in self.records.items()}
        total = sum(steps.values())
        for i, record in self.records.items():
            record["runtime_s"] = round(runtime * steps[i] / total, 9)
            record["compile_s"] = round(self.compile_s / len(self.records), 9)


def _failed(reason: str) -> Record:
    from campaign.execute.recording import failed_record

    return failed_record({}, reason)


def _is_out_of_memory(error: BaseException) -> bool:
    return isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error) or "Out of memory" in str(error)


def device_and_host() -> Mapping[str, str]:
    from campaign.execute.runtime import device_name

    return {"host": host_name(), "device": device_name()}
