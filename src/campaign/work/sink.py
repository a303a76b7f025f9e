"""What the loop hands over to: traces go out, states become checkpoints, and the request to stop comes back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from campaign.store.trace_policy import TracePolicy
from campaign.store.trace_spec import Field
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
        for own, lanes in self._shares():
            known = [field for field in own if not field.once and field.name in fields]
            if known:
                self._put(chunk, known, lanes, fields)

    def results(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Publish the arrays that runs have at their end."""
        for own, lanes in self._shares(of_all=True):
            known = {field.name: np.asarray(arrays[field.name])[lanes] for field in own if field.once}
            if known and self.output is not None:
                self.output.put(0, self.group.rows[lanes], known)

    def _put(self, chunk: int, own: Sequence[Field], lanes: np.ndarray | slice, fields: dict[str, np.ndarray]) -> None:
        if self.output is None:
            return
        rows = self.group.rows[lanes]
        stepped, joined = {}, {}
        every = self.trace_policy.every
        chunk_steps = self.group.batch.work.engine.chunk_steps
        first = -(chunk * chunk_steps) % every  # the first step of this chunk that is recorded
        for field_ in own:
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

    def _shares(self, *, of_all: bool = False) -> Iterator[tuple[list[Field], np.ndarray | slice]]:
        """The arrays that some runs record, with the lanes of these runs; which failed is not known before the end.

        `of_all`: what is not a detail is recorded of all runs, whatever the policy says.
        """
        fields = () if self.output is None else self.output.spec.fields
        rows = self.first_row + self.group.rows
        is_detailed = self.trace_policy.are_detailed(rows)
        is_traced = is_detailed | (of_all or self.trace_policy.runs != "first" or rows == 0)
        for is_detail, chosen in ((False, is_traced), (True, is_detailed)):
            own = [field for field in fields if field.is_detail == is_detail]
            if own and chosen.any():
                yield own, slice(len(rows)) if chosen.all() else np.flatnonzero(chosen)

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
