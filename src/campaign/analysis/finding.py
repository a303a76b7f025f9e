"""What `campaign verify` says: one thing that is wrong on disk, and what repairs it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

REMOVE = "remove"  # nobody needs it
REDO = "redo"  # moved aside; the block counts as not done, and `campaign resume` does it again
REBUILD = "rebuild"  # made again from other files; nothing is computed
NONE = "none"  # for a person to judge
LEFTOVER = "leftover"  # a kind: what a process that ended left behind, which is not damage


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        kind: "identity", "manifest", "leftover", "foreign", "lock", "plan", "input", "program", "summaries",
            "run folder", "trace group", "trace", "state", "events", "table".
        place: relative to the campaign directory, with the line where there is one.
        message: what is wrong, with the value seen.
        repair: "remove", "redo", "rebuild" or "none".
        paths: what the repair removes or moves aside, relative to the campaign directory; of a run folder the summaries
            that it is made from.
    """

    kind: str
    place: str
    message: str
    repair: str = NONE
    paths: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.kind}: {self.place}: {self.message}"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)
