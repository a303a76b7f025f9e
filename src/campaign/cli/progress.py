"""How far it is, on stderr: a bar on a terminal, else one line at each stage's ends and every 30 s."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import Protocol

from campaign.cli.numbers import count, duration, rate
from campaign.cli.output import talk

LINE_EVERY_S = 30.0


class Snapshot(Protocol):
    """What a driver reports; see `campaign.drive.doors.Progress`."""

    stage: str
    n_runs: int
    n_done: int
    n_failed: int
    phase: str

    @property
    def rate(self) -> float: ...

    @property
    def eta_s(self) -> float | None: ...


OnProgress = Callable[[Snapshot], None]


@contextlib.contextmanager
def reporting(*, is_quiet: bool = False) -> Iterator[OnProgress | None]:
    """A function to be called with every snapshot; None when quiet."""
    if is_quiet:
        yield None
    elif sys.stderr.isatty():
        with _bar() as show:
            yield show
    else:
        yield Lines().show


def line(snapshot: Snapshot) -> str:
    """One snapshot in words: ``fit  1,024/2,048 runs  50%  512 runs/s  ETA 2.0 s  3 failed``."""
    share = snapshot.n_done / snapshot.n_runs if snapshot.n_runs else 1.0
    parts = [snapshot.stage, f"{count(snapshot.n_done)}/{count(snapshot.n_runs)} runs", f"{100 * share:.0f}%"]
    if snapshot.phase == "running" and snapshot.rate > 0:
        parts.append(rate(snapshot.rate))
        if snapshot.eta_s:
            parts.append(f"ETA {duration(snapshot.eta_s)}")
    elif snapshot.phase != "running":
        parts.append(snapshot.phase)
    if snapshot.n_failed:
        parts.append(f"{count(snapshot.n_failed)} failed")
    return "  ".join(parts)


class Lines:
    """Plain lines: when a stage begins, when its phase changes, and every `every_s` seconds."""

    def __init__(self, every_s: float = LINE_EVERY_S, clock: Callable[[], float] = time.monotonic) -> None:
        self._every_s, self._clock = every_s, clock
        self._last: tuple[str, str] | None = None
        self._printed_at = -float("inf")

    def show(self, snapshot: Snapshot) -> None:
        now, key = self._clock(), (snapshot.stage, snapshot.phase)
        if key != self._last or now - self._printed_at >= self._every_s:
            self._last, self._printed_at = key, now
            talk(line(snapshot))


@contextlib.contextmanager
def _bar() -> Iterator[OnProgress]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    bar = BarColumn(bar_width=30, style="grey37", complete_style="cyan", finished_style="green")
    columns = (TextColumn("{task.description}"), bar, TextColumn("{task.fields[words]}"))
    with Progress(*columns, console=Console(stderr=True), transient=False) as bars:
        known = {}

        def show(snapshot: Snapshot) -> None:
            if snapshot.stage not in known:
                known[snapshot.stage] = bars.add_task(snapshot.stage, total=max(snapshot.n_runs, 1), words="")
            words = line(snapshot).removeprefix(f"{snapshot.stage}  ")
            total = max(snapshot.n_runs, 1)
            done = snapshot.n_done if snapshot.n_runs else total
            bars.update(known[snapshot.stage], total=total, completed=done, words=words)

        yield show
