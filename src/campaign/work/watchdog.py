"""What hangs ends its process, and the next execution of the block knows which runs it was.

A model that never comes back, from Python while it is built or traced, or from a callback or compiled code while it
runs, does not reach the end of a chunk of steps, where times are looked at. So with `timeout_s` a timer of the C
library's kind (`faulthandler`: it needs no interpreter) ends the process some seconds after the time of the runs at
hand is up, and leaves their rows and where they hung in a file beside the block's checkpoint. The executor sees a lost
worker and hands the block out again; the runs are then split until the one that hangs is alone, and it has failed.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from campaign.own_code import places
from campaign.store.checksum import fault_of, sealed_line
from campaign.store.records import dumps

GRACE_S = 10.0  # beyond the time of the runs: the end of a chunk of steps ends what only is slow
BUILDING, BUILDING_ALL, RUNNING = "it was built", "all runs were built at once", "it ran"


@dataclass(frozen=True, slots=True)
class Hang:
    """Runs that did not come back in an earlier execution of their block.

    Attributes:
        rows: of the block.
        phase: `BUILDING`, `BUILDING_ALL` or `RUNNING`.
        where: the innermost line of Python that is nobody else's, or "".
    """

    rows: frozenset[int]
    phase: str
    where: str

    def reason(self, timeout_s: float) -> str:
        """Why the run failed, for its record."""
        return f"it did not come back within `timeout_s` {timeout_s:g} s: it hung while {self.phase}{self.where}"


@dataclass(slots=True)
class Watchdog:
    """The watch over one execution of a block. Without `timeout_s` it watches nothing."""

    path: Path
    timeout_s: float | None
    hangs: tuple[Hang, ...] = ()
    _file: IO[bytes] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self.hangs = self.hangs or known_hangs(self.path)

    def hang_of(self, rows: Sequence[int], phase: str) -> Hang | None:
        """A known hang of some of these rows, and of no others."""
        return next((hang for hang in self.hangs if hang.phase == phase and hang.rows.issubset(rows)), None)

    @contextlib.contextmanager
    def over(self, rows: Sequence[int], phase: str) -> Iterator[None]:
        """End this process where the rows have not come back when their time is up."""
        if self.timeout_s is None:
            yield
            return
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("ab", buffering=0)
        size = os.fstat(self._file.fileno()).st_size
        self._file.write(sealed_line(dumps({"rows": [int(row) for row in rows], "phase": phase})) + b"\n")
        seconds = self.timeout_s * len(rows) + GRACE_S
        faulthandler.dump_traceback_later(seconds, exit=True, file=self._file)
        try:
            yield
        finally:
            self.rest()
            self._file.truncate(size)

    def rest(self) -> None:
        """Watch no more: what follows is not the model's doing."""
        if self._file is not None:
            faulthandler.cancel_dump_traceback_later()

    def close(self) -> None:
        """The block is computed; what is known of its hangs stays until it is published."""
        if self._file is not None:
            self._file.close()
            self._file = None
            if not self.hangs:
                self.path.unlink(missing_ok=True)


def known_hangs(path: Path) -> tuple[Hang, ...]:
    """The hangs of a block, by its file; none where there is no file."""
    try:
        return tuple(_hangs(path.read_text(errors="replace")))
    except OSError:
        return ()


def _hangs(text: str) -> Iterator[Hang]:
    """The entries of a file whose timer went off: each a line of JSON, and the stacks of all threads. What is not
    whole tells nothing: its runs are tried again."""
    entry, frames = None, []
    for line in [*text.splitlines(), '{"rows": []}']:
        if line.startswith('{"rows"'):
            if entry is not None and frames:
                own = next(places("\n".join(frames)), None)
                yield Hang(frozenset(entry["rows"]), entry["phase"], f" at {own}" if own else "")
            entry, frames = None, []
            with contextlib.suppress(ValueError):  # cut short: the process was killed while it wrote
                found = json.loads(line)
                entry = found if fault_of(found) is None else None
        elif line.startswith("  File "):
            frames.append(line)
