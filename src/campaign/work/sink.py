"""What the loop hands over to: traces go out, states become checkpoints, and the request to stop comes back."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from campaign.work.building import Group
from campaign.work.control import Control
from campaign.work.desk import Desk, Output, State


@dataclass(slots=True, kw_only=True)
class BlockSink:
    """The loop's `Sink` for one group of runs.

    Attributes:
        output: where arrays go; None when the stage records nothing.
        is_checkpointed: the group is the whole block, so its state may be saved under the block's name.
        checkpoint_s: seconds between two checkpoints.
        timeout_s: seconds that a run may take; the group has as many as its runs together. None: no limit.
    """

    desk: Desk
    group: Group
    output: Output | None
    control: Control
    is_checkpointed: bool
    checkpoint_s: float
    timeout_s: float | None = None
    began_at: float = field(default_factory=time.monotonic)
    saved_at: float = field(default_factory=time.monotonic)

    def trace(self, chunk: int, fields: dict[str, np.ndarray]) -> None:
        """Publish the chunk of every recorded field."""
        if self.output is not None and fields:
            wanted = self.output.spec.names
            joined = {name: self._shaped(name, values) for name, values in fields.items() if name in wanted}
            self.output.put(chunk, self.group.rows, joined)

    def _shaped(self, name: str, values: np.ndarray) -> np.ndarray:
        """(B, steps, …) as the field's chunk has it: cut at the last step, or steps joined along a data axis."""
        assert self.output is not None
        spec = self.output.spec.field(name)
        if spec.dims[0] != "step":
            values = values.reshape(values.shape[0], -1, *values.shape[3:])
        return values[:, : spec.chunk[0]]

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
