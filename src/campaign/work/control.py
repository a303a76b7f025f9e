"""What goes to a worker besides the address of a block, and what comes back: `Control` and `Receipt`."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from campaign.store.layout import BlockTask


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """The few bytes that a block sends back. The truth is on disk.

    Attributes:
        state: "published", "already" (was published before), "interrupted" (checkpointed or not begun; run it again),
            or "lost" (the executor lost the worker; not the block's fault).
        n_ok, n_failed: runs by status.
        seconds: wall time of the block in its worker.
        compile_s: of that, compilation.
        worker: host:pid.
        message: why, when not published.
    """

    task: BlockTask
    state: str
    n_ok: int = 0
    n_failed: int = 0
    seconds: float = 0.0
    compile_s: float = 0.0
    worker: str = ""
    message: str = ""


class Flag:
    """Is set once, and stays so. A signal handler may set it.

    `threading.Event` will not do: a second signal that comes while the first one's handler sets it waits for a lock
    that its own thread holds, for ever. A job's end sends two signals at once.
    """

    __slots__ = ("_is_set",)

    def __init__(self) -> None:
        self._is_set = False

    def set(self) -> None:
        self._is_set = True

    def is_set(self) -> bool:
        return self._is_set


@dataclass(slots=True)
class Control:
    """How a driver or a signal tells the work to end.

    Attributes:
        drain: set: hand out no more blocks; blocks in flight finish or checkpoint at their next chunk.
        cancel: set: end at once, without waiting for blocks in flight.
        deadline: seconds of the epoch after which no block may run, or None.
    """

    drain: Flag = field(default_factory=Flag)
    cancel: Flag = field(default_factory=Flag)
    deadline: float | None = None

    def must_stop(self) -> bool:
        """Whether a block should stop at its next chunk."""
        late = self.deadline is not None and time.time() >= self.deadline
        return late or self.drain.is_set() or self.cancel.is_set()
