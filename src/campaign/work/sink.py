"""What the loop hands over to: traces go out, states become checkpoints, and the request to stop comes back."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from campaign.store.trace_policy import TracePolicy
from campaign.work.control import Control
from campaign.work.desk import Desk, Output, State
from campaign.work.group import Group


@dataclass(slots=True, kw_only=True)
class BlockSink:
    """The loop's `Sink` for one group of runs.

    Attributes:
        output: where arrays go; None when the stage records nothing.
        trace_policy: which steps and runs are recorded.
        first_row: row of the block's first run in the program's arrays.
        is_checkpointed: the group is the whole block, so its state may be saved under the block's name.
        checkpoint_s: seconds between two checkpoints.
        timeout_s: seconds that a run may take; the group has as many as its runs together. None: no limit.
    """

    desk: Desk
    group: Group
    output: Output | None
    trace_policy: TracePolicy
    first_row: int
    control: Control
    is_checkpointed: bool
    checkpoint_s: float
    timeout_s: float | None = None
    began_at: float = field(default_factory=time.monotonic)
    saved_at: float = field(default_factory=time.monotonic)

    def trace(self, chunk: int, fields: dict[str, np.ndarray]) -> None:
        """Publish the chunk of every recorded field."""
        lanes = self._recorded_lanes()
        rows = self.group.rows[lanes]
        if self.output is None or not len(rows):
            return
        stepped, joined = {}, {}
        every = self.trace_policy.every
        chunk_steps = self.group.batch.work.engine.chunk_steps
        first = -(chunk * chunk_steps) % every  # the first step of this chunk that is recorded
        for field_ in self.output.spec.fields:
            if field_.once or field_.name not in fields:
                continue
            values = fields[field_.name][lanes]
            if field_.dims[0] == "step":
                stepped[field_.name] = values[:, first::every][:, : field_.shape[0]]
            else:
                parts = values.reshape(values.shape[0], -1, *values.shape[3:])
                joined[field_.name] = parts[:, : field_.shape[0]]
        if stepped and first < chunk_steps:
            number = chunk if every <= chunk_steps else (chunk * chunk_steps + first) // every
            self.output.put(number, rows, stepped)
        if joined:
            self.output.put(chunk, rows, joined)

    def _recorded_lanes(self) -> np.ndarray | slice:
        """Lanes of the runs that are recorded; which failed is not known before the end."""
        if self.trace_policy.runs == "first":
            return np.flatnonzero(self.first_row + self.group.rows == 0)
        return slice(len(self.group.rows))

    def between(self, next_chunk: int, leaves: Callable[[], Sequence[np.ndarray]]) -> bool:
        """Save the state now and then; stop when the driver drains or the time is up."""
        stop = self.control.must_stop()
        due = time.monotonic() - self.saved_at >= self.checkpoint_s
        if self.is_checkpointed and (stop or due):
            if self.output is not None:
                self.output.settle()  # a checkpoint says that the chunks before it are there
            self.desk.save(leaves(), next_chunk)
            self.saved_at = time.monotonic()
        return stop

    def is_late(self) -> bool:
        """Whether this execution of the group has used up its time. What was computed before a checkpoint is free."""
        return self.timeout_s is not None and time.monotonic() - self.began_at >= self.timeout_s * len(self.group.rows)

    def resume(self) -> State | None:
        """The block's last checkpoint, if there is one."""
        return self.desk.load() if self.is_checkpointed else None
