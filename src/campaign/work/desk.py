"""Where a block's arrays and states go: onto disk in a campaign, into memory for `fit` and `replay`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from campaign.engines.loop import Continued
from campaign.engines.program import Shapes
from campaign.store import checkpoints, pass_log, states
from campaign.store.layout import BlockTask, Layout
from campaign.store.records import publish_json
from campaign.store.states import Kept
from campaign.store.trace_spec import Field, TraceSpec
from campaign.work.continuing import continued
from campaign.work.group import Group
from campaign.work.planned_block import PlannedBlock
from campaign.work.trace_writer import TraceWriter

State = tuple[Sequence[np.ndarray], int]  # leaves and next chunk


class Output(Protocol):
    """Takes the arrays of a block, chunk by chunk.

    Attributes:
        spec: the arrays.
        is_whole: the block is one group of runs.
    """

    spec: TraceSpec
    is_whole: bool

    def put(self, chunk: int, rows: np.ndarray, fields: Mapping[str, np.ndarray]) -> None:
        """One step chunk of some runs: arrays (len(rows) or more, …), lanes beyond the rows left out."""

    def settle(self) -> None:
        """Wait until what was put is safe."""

    def forget(self, rows: np.ndarray) -> None:
        """Take the steps of these runs of the block back."""

    def flush(self) -> None:
        """The last call: everything is safe afterwards."""


class Desk(Protocol):
    """The effects that computing a block has."""

    def open(self, spec: TraceSpec, *, row_chunk: int, n_runs: int, is_whole: bool) -> Output: ...

    def describe(self, description: Mapping[str, Any]) -> None:
        """Publish what the program's runs report, once."""

    def is_described(self) -> bool:
        """Somebody did that already."""
        ...

    def save(self, leaves: Sequence[np.ndarray], next_chunk: int) -> None:
        """Keep the state of the block between two chunks."""

    def load(self) -> State | None:
        """The state that was kept last."""
        ...

    def keep(self, kept: Kept) -> None:
        """Keep where the runs of the block stand after their end."""

    def earlier(self, block: PlannedBlock, group: Group, shapes: Shapes, recorded: Collection[str]) -> Continued | None:
        """Where the runs of the block stood in earlier blocks, if they go on from there. See `work.continuing`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskDesk:
    """A campaign directory."""

    layout: Layout
    task: BlockTask
    program: str

    def open(self, spec: TraceSpec, *, row_chunk: int, n_runs: int, is_whole: bool) -> TraceWriter:
        return TraceWriter.open(
            self.layout, self.task.stage, self.program, spec, row_chunk=row_chunk, n_runs=n_runs, is_whole=is_whole
        )

    def describe(self, description: Mapping[str, Any]) -> None:
        publish_json(self.layout.program(self.task.stage, self.program), description)

    def is_described(self) -> bool:
        return self.layout.program(self.task.stage, self.program).exists()

    def save(self, leaves: Sequence[np.ndarray], next_chunk: int) -> None:
        place = (self.task.stage, self.task.part, self.task.block)
        checkpoints.save(self.layout, *place, leaves, next_chunk)
        pass_log.turn_over(self.layout, *place)

    def load(self) -> State | None:
        return checkpoints.load(self.layout, self.task.stage, self.task.part, self.task.block)

    def keep(self, kept: Kept) -> None:
        states.save(self.layout, self.task, kept)

    def earlier(self, block: PlannedBlock, group: Group, shapes: Shapes, recorded: Collection[str]) -> Continued | None:
        return continued(self.layout, block, group, shapes, recorded)


@dataclass(slots=True)
class MemoryOutput:
    """Keeps what it is given.

    Attributes:
        n_runs: runs of the block.
        chunks: field → its chunks by number, for all runs of the block.
        joined: field → its chunks put together, made when first asked for.
    """

    spec: TraceSpec
    n_runs: int
    is_whole: bool
    chunks: dict[str, dict[int, np.ndarray]] = field(default_factory=dict)
    joined: dict[str, np.ndarray] = field(default_factory=dict)

    def put(self, chunk: int, rows: np.ndarray, fields: Mapping[str, np.ndarray]) -> None:
        for name, values in fields.items():
            own, chunks = values[: len(rows)], self.chunks.setdefault(name, {})
            if len(rows) == self.n_runs:
                chunks[chunk] = own
                continue
            if chunk not in chunks:
                chunks[chunk] = np.full((self.n_runs, *own.shape[1:]), self.spec.field(name).fill, own.dtype)
            chunks[chunk][rows] = own

    def settle(self) -> None:
        return None

    def forget(self, rows: np.ndarray) -> None:
        return None

    def flush(self) -> None:
        return None

    def of(self, row: int, name: str, n_steps: int) -> np.ndarray:
        """One run's array: cut at its last step, where it has a step axis; whole where steps are joined."""
        found = self.spec.field(name)
        if name not in self.joined:
            self.joined[name] = self._joined(found)
        own = self.joined[name][row]
        return own[:n_steps] if found.dims[:1] == ("step",) else own

    def _joined(self, found: Field) -> np.ndarray:
        parts = [values for _, values in sorted(self.chunks.get(found.name, {}).items())]
        if not parts:
            return np.full((self.n_runs, 0, *found.shape[1:]), found.fill, np.dtype(found.dtype))
        return parts[0] if found.once else np.concatenate(parts, axis=1)


@dataclass(slots=True)
class MemoryDesk:
    """Nothing reaches a disk."""

    output: MemoryOutput | None = None

    def open(self, spec: TraceSpec, *, row_chunk: int, n_runs: int, is_whole: bool) -> MemoryOutput:
        self.output = MemoryOutput(spec, n_runs, is_whole)
        return self.output

    def describe(self, description: Mapping[str, Any]) -> None:
        return None

    def is_described(self) -> bool:
        return True

    def save(self, leaves: Sequence[np.ndarray], next_chunk: int) -> None:
        return None

    def load(self) -> State | None:
        return None

    def keep(self, kept: Kept) -> None:
        return None

    def earlier(self, block: PlannedBlock, group: Group, shapes: Shapes, recorded: Collection[str]) -> Continued | None:
        return None
