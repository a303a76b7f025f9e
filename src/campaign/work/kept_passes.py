"""Long passes over rows in rounds: what is summed is kept on disk, progress is said, and a stop is obeyed in between.

A checkpoint is saved between chunks of steps. A step may be hours: here its passes are kept too, row block by row
block, under what they are asked (kind, run, place). After a kill the steps since the checkpoint are made again, and
find the parts of their passes here instead of computing them: the same bits, since a part is always one call of one
function.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from campaign.engines.loop import Stopped
from campaign.engines.row_program import Ask, Crew
from campaign.store import pass_log
from campaign.store.events import EventLog
from campaign.store.layout import BlockTask, Layout

FIRST = 4  # row blocks of the first round, whose length says how many the next one has
ROUND_S = 2.0  # seconds that a round should take
LONG_S = 1.0  # passes that take less are not kept
TOLD_S = 10.0  # between two events of progress


@dataclass(slots=True, kw_only=True)
class KeptPasses:
    """A `Crew` that asks another one round by round.

    Attributes:
        crew: who computes.
        layout, task: the block.
        must_stop: whether a block should stop; asked between two rounds.
        block_s: seconds that a row block took last.
    """

    crew: Crew
    layout: Layout
    task: BlockTask
    must_stop: Callable[[], bool]
    block_s: float | None = None
    told_at: float = field(default_factory=time.monotonic)
    _known: dict[bytes, dict[int, np.ndarray]] | None = None

    @property
    def size(self) -> int:
        return self.crew.size

    def parts(self, ask: Ask, blocks: range, own: Callable[[int], np.ndarray]) -> np.ndarray:
        """See `Crew`.

        Raises:
            Stopped: `must_stop` said so, with row blocks left; what is summed is kept.
        """
        key = _key(ask, blocks)
        found = self._begun(key, blocks)
        began = time.monotonic()
        n_done = kept = sum(map(len, found))
        while n_done < len(blocks):
            now = time.monotonic()
            n = min(len(blocks) - n_done, self._round())
            mine = blocks[n_done : n_done + n]
            found.append(self.crew.parts(ask, mine, own))
            self.block_s = (time.monotonic() - now) / n
            n_done += n
            if n_done < len(blocks) or time.monotonic() - began >= LONG_S:
                pass_log.append(self._path, key, blocks[kept], np.concatenate(_after(found, kept)))
                kept = n_done
            if n_done < len(blocks):
                self._tell(ask, n_done, len(blocks))
                if self.must_stop():
                    raise Stopped
        return np.concatenate(found)

    def _round(self) -> int:
        if self.block_s is None:
            return FIRST * self.size
        return max(self.size, int(ROUND_S / max(self.block_s, 1e-9)))

    def _begun(self, key: bytes, blocks: range) -> list[np.ndarray]:
        """The parts that an earlier execution kept, from the first row block on."""
        if self._known is None:
            place = (self.task.stage, self.task.part, self.task.block)
            self._known = {}
            for path in (self.layout.earlier_passes(*place), self.layout.passes(*place)):
                for own, first, parts in pass_log.read(path):
                    self._known.setdefault(own, {}).update({first + i: part for i, part in enumerate(parts)})
        known, found = self._known.pop(key, {}), []
        for k in blocks:
            if k not in known:
                break
            found.append(known[k][None])
        return found

    @property
    def _path(self):
        return self.layout.passes(self.task.stage, self.task.part, self.task.block)

    def _tell(self, ask: Ask, n_done: int, n: int) -> None:
        if time.monotonic() - self.told_at < TOLD_S:
            return
        self.told_at = time.monotonic()
        place = {"stage": self.task.stage, "part": self.task.part, "block": self.task.block}
        with EventLog(self.layout) as events:
            events.append("block_pass", **place, kind=ask.kind.name, n_done=n_done, n=n, run=ask.run.hex())


def _key(ask: Ask, blocks: range) -> bytes:
    """What names a pass: its kind, its run, how many row blocks, and where."""
    words = f"{ask.kind.name} {blocks.start} {blocks.stop} {ask.u.dtype.char} ".encode()
    return hashlib.sha256(words + ask.run + ask.u.tobytes()).digest()[: pass_log.KEY]


def _after(found: list[np.ndarray], kept: int) -> list[np.ndarray]:
    """The parts behind the first `kept`."""
    done = 0
    for i, own in enumerate(found):
        if done == kept:
            return found[i:]
        done += len(own)
    return []
