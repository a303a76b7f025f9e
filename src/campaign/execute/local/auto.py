"""Begin here and now; bring in workers when the rest of the work pays for starting them.

Rule, after each block run here but the first, which pays for imports: with b blocks left, one done every s seconds
(without compiling), c ≥ 1 processors that this process keeps busy meanwhile, W workers, and S the seconds that workers
take to start, start them when b·s·(1 − c/W) > S; in any case when no block was done for 2·S and others wait. The blocks
go on here while the workers start; a block under way when they are ready stops at its next chunk of steps and continues
on a worker from its checkpoint.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from campaign.execute.base import AbstractExecutor, Control, Receipt
from campaign.execute.local.inline import InlineExecutor
from campaign.store.layout import BlockTask

START_S = 2.5  # seconds until workers on this machine are ready


def pays(n_left: int, block_s: float, n_workers: int, start_s: float = START_S, *, busy: float = 1.0) -> bool:
    """Whether `n_left` blocks, one every `block_s` seconds here, are worth starting `n_workers` for.

    `busy` is how many processors this process keeps busy with them: one that computes a block while it writes another
    uses more than one, and workers have only the rest to offer.
    """
    return n_workers > 1 and n_left * block_s * (1 - max(1.0, busy) / n_workers) > start_s


@dataclass(slots=True)
class _Pace:
    """How fast blocks are done here, and how many processors that takes; from the first one on."""

    n: int = -1
    compile_s: float = 0.0
    began: tuple[float, float] = (0.0, 0.0)
    last: tuple[float, float] = field(default_factory=lambda: (time.monotonic(), time.process_time()))

    def note(self, receipt: Receipt) -> None:
        self.n += 1
        self.last = time.monotonic(), time.process_time()
        if self.n == 0:
            self.began = self.last
        else:
            self.compile_s += receipt.compile_s

    @property
    def block_s(self) -> float:
        return (self.last[0] - self.began[0] - self.compile_s) / self.n

    @property
    def busy(self) -> float:
        return (self.last[1] - self.began[1]) / max(1e-9, self.last[0] - self.began[0])


@dataclass(slots=True, kw_only=True)
class _HandOver(Control):
    """The driver's control, which also stops a block when the workers are ready for it."""

    is_ready: Callable[[], bool]

    def must_stop(self) -> bool:
        return Control.must_stop(self) or self.is_ready()


class Startable(Protocol):
    """An executor that starts in the background once it is entered."""

    def is_ready(self) -> bool: ...
    def run(self, directory: Path, tasks: Iterable[BlockTask], control: Control) -> Iterator[Receipt]: ...
    def __enter__(self) -> Any: ...
    def __exit__(self, *exception: object) -> None: ...


class AutoExecutor(AbstractExecutor):
    """Inline first, then workers of this machine."""

    name = "auto"

    def __init__(
        self,
        make_workers: Callable[[], Startable],
        *,
        n_workers: int,
        start_s: float = START_S,
        device: str | None = None,
    ) -> None:
        """Args:
        make_workers: makes the executor to hand over to.
        n_workers: how many workers it will have.
        start_s: seconds that it takes to start.
        device: what blocks that run here must run on, as for `InlineExecutor`.
        """
        self._make_workers = make_workers
        self._n_workers = n_workers
        self._start_s = start_s
        self._workers: Startable | None = None
        self._lock = threading.Lock()
        self._inline = InlineExecutor(device=device)

    def __exit__(self, *exception: object) -> None:
        if self._workers is not None:
            self._workers.__exit__(*exception)

    def run(self, directory: Path, tasks: Iterable[BlockTask], control: Control) -> Iterator[Receipt]:
        left = deque(tasks)
        yield from self._begin_here(directory, left, control)
        if left and self._workers is not None and not control.must_stop():
            yield from self._workers.run(directory, left, control)

    def _begin_here(self, directory: Path, left: deque[BlockTask], control: Control) -> Iterator[Receipt]:
        """Run blocks until none is left or the workers are ready; what is not done stays in `left`."""
        inner = _HandOver(
            drain=control.drain, cancel=control.cancel, deadline=control.deadline, is_ready=self._is_ready
        )
        over = threading.Event()
        pace, begun = _Pace(), deque[BlockTask]()
        if len(left) > 1 and self._n_workers > 1:
            threading.Thread(target=self._wait_for_long_blocks, args=(pace, left, over), daemon=True).start()

        def drawn() -> Iterator[BlockTask]:
            while left and not inner.must_stop():
                begun.append(left.popleft())
                yield begun[-1]

        try:
            for receipt in self._inline.run(directory, drawn(), inner):
                if receipt.state == "interrupted" and not control.must_stop():
                    continue
                begun.remove(receipt.task)
                pace.note(receipt)
                if pace.n and pays(len(left), pace.block_s, self._n_workers, self._start_s, busy=pace.busy):
                    self._start()
                yield receipt
            left.extendleft(reversed(begun))
        finally:
            over.set()

    def _wait_for_long_blocks(self, pace: _Pace, left: deque[BlockTask], over: threading.Event) -> None:
        """Start the workers when no block was done for twice as long as they take to start, and others wait."""
        while not over.wait(self._start_s / 4):
            if left and time.monotonic() - pace.last[0] > 2 * self._start_s:
                return self._start()
        return None

    def _start(self) -> None:
        with self._lock:
            if self._workers is None:
                workers = self._make_workers()
                workers.__enter__()
                self._workers = workers

    def _is_ready(self) -> bool:
        return self._workers is not None and self._workers.is_ready()
