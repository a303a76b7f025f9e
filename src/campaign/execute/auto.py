"""Begin here and now; bring in workers when the rest of the work pays for starting them.

Rule, after each block run here but the first, which pays for imports: with b blocks left, s seconds the mean block
(without compiling), W workers, and S the seconds that workers take to start, start them when b·s·(1 − 1/W) > S; in any
case after 2·S. The blocks go on here while the workers start; a block under way when they are ready stops at its next
chunk of steps and continues on a worker from its checkpoint.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from campaign.execute.base import AbstractExecutor, Control, Receipt
from campaign.execute.inline import InlineExecutor
from campaign.store.layout import BlockTask

START_S = 2.5  # seconds until workers on this machine are ready


def pays(n_left: int, block_s: float, n_workers: int, start_s: float = START_S) -> bool:
    """Whether `n_left` blocks of `block_s` seconds are worth starting `n_workers` for."""
    return n_workers > 1 and n_left * block_s * (1 - 1 / n_workers) > start_s


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
        timer = threading.Timer(2 * self._start_s, self._start)
        timer.daemon = True
        if len(left) > 1 and self._n_workers > 1:
            timer.start()
        n, seconds, is_first = 0, 0.0, True
        try:
            while left and not inner.must_stop():
                task = left.popleft()
                for receipt in self._inline.run(directory, [task], inner):
                    if receipt.state == "interrupted" and not control.must_stop():
                        left.appendleft(task)
                        continue
                    if not is_first:
                        n, seconds = n + 1, seconds + receipt.seconds - receipt.compile_s
                    is_first = False
                    if n and pays(len(left), seconds / n, self._n_workers, self._start_s):
                        self._start()
                    yield receipt
        finally:
            timer.cancel()

    def _start(self) -> None:
        with self._lock:
            if self._workers is None:
                workers = self._make_workers()
                workers.__enter__()
                self._workers = workers

    def _is_ready(self) -> bool:
        return self._workers is not None and self._workers.is_ready()
