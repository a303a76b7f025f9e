"""What hangs or ends its process, and the next execution of the block knows which runs it was.

A model that never comes back, from Python while it is built or traced, or from a callback or compiled code while it
runs, does not reach the end of a chunk of steps, where times are looked at. So with `timeout_s` a timer of the C
library's kind (`faulthandler`: it needs no interpreter) ends the process some seconds after the time of the runs at
hand is up. Then, and when people's own code crashes or leaves, the rows at hand and the stacks stay in a file beside
the block's checkpoint (`last_words`). The executor sees a lost worker and hands the block out again; the runs are then
split until the one at fault is alone, and it has failed. The stack of a thread that never stops is read while it
changes: now and then its place is not known.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from campaign.last_words import Ending, Words, endings, rest

GRACE_S = 10.0  # beyond the time of the runs: the end of a chunk of steps ends what only is slow
CRASHES = 2  # that runs were part of, after which they are at fault: one may be the machine's
BUILDING, BUILDING_ALL, RUNNING = "it was built", "all runs were built at once", "it ran"
TRACING = "its program was traced"  # which knows no single run: all runs of the program are at fault


@dataclass(frozen=True, slots=True)
class Hang:
    """Runs that did not come back in an earlier execution of their block, or ended its process.

    Attributes:
        rows: of the block.
        phase: `BUILDING`, `BUILDING_ALL`, `TRACING` or `RUNNING`.
        where: the innermost line of Python that is nobody else's, or "".
        how: what ended the process; "" where it hung.
    """

    rows: frozenset[int]
    phase: str
    where: str
    how: str = ""

    @property
    def outcome(self) -> str:
        """Of the runs, when they are alone."""
        return "lost" if self.how else "timeout"

    def reason(self, timeout_s: float | None) -> str:
        """Why the run failed, for its record."""
        if self.how:
            return f"it ended its process while {self.phase}{self.where}: {self.how}"
        return f"it did not return within `timeout_s` {timeout_s or 0:g} s: it hung while {self.phase}{self.where}"


@dataclass(slots=True)
class Watchdog:
    """The watch over one execution of a block.

    Attributes:
        path: of the file.
        timeout_s: of a run; None: no time is watched.
        is_own: the block has people's own code, which may end the process at any time.
        hangs: that are known from earlier executions.
        given: words to use in the place of the file's.
    """

    path: Path
    timeout_s: float | None
    hangs: tuple[Hang, ...] = ()
    is_own: bool = False
    given: Words | None = field(default=None, repr=False)
    _words: Words | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self.hangs = self.hangs or known_hangs(self.path)

    def hang_of(self, rows: Sequence[int], phase: str) -> Hang | None:
        """A known hang or crash of some of these rows, and of no others.

        For runs that cannot be split a crash counts where it is the second one that they were part of.
        """
        found = [hang for hang in self.hangs if hang.phase == phase and hang.rows.issubset(rows)]
        can_split = phase == BUILDING_ALL or (phase == RUNNING and len(rows) > 1)
        return next((hang for hang in found if can_split or not hang.how or self._crashes(hang) >= CRASHES), None)

    def _crashes(self, hang: Hang) -> int:
        return sum(bool(other.how) and hang.rows <= other.rows for other in self.hangs)

    @contextlib.contextmanager
    def over(self, rows: Sequence[int], phase: str) -> Iterator[None]:
        """End this process where the rows have not come back when their time is up; note which ones end it."""
        if self.timeout_s is None and not self.is_own:
            yield
            return
        words = self.given or self._opened()
        seconds = None if self.timeout_s is None else self.timeout_s * len(rows) + GRACE_S
        with words.over({"rows": [int(row) for row in rows], "phase": phase}, seconds):
            yield

    def _opened(self) -> Words:
        if self._words is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._words = Words(self.path.open("ab", buffering=0))
        return self._words

    def rest(self) -> None:
        """Watch no more: what follows is not the model's doing."""
        rest()

    def close(self) -> None:
        """The block is computed; what is known of its hangs stays until it is published."""
        if self._words is not None:
            self._words.close()
            self._words = None
            if not self.hangs:
                self.path.unlink(missing_ok=True)


def known_hangs(path: Path) -> tuple[Hang, ...]:
    """The hangs and crashes of a block, by its file; none where there is no file."""
    try:
        return tuple(_hang(ending) for ending in endings(path.read_text(errors="replace")) if "rows" in ending.entry)
    except OSError:
        return ()


def _hang(ending: Ending) -> Hang:
    return Hang(frozenset(ending.entry["rows"]), ending.entry["phase"], ending.where, ending.how)
