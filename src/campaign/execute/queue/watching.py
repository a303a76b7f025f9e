"""What a job array leaves on disk, as its driver sees it: receipts, and blocks that were begun and not ended."""

from __future__ import annotations

from collections.abc import Iterator

from campaign.execute.base import Receipt
from campaign.store.events import Event, EventReader
from campaign.store.layout import BlockTask, Layout
from campaign.store.summaries import published

Key = tuple[str, int, int]
_ENDS = ("block_published", "block_interrupted", "block_lost")


class Watch:
    """Turns what appears on disk into receipts.

    Attributes:
        left: (stage, part, block) → block of those that have none yet; shared with the caller.
    """

    def __init__(self, layout: Layout, left: dict[Key, BlockTask]) -> None:
        self.layout = layout
        self.left = left
        self._begun: set[Key] = set()
        self._reader = EventReader(layout)
        for _ in self._reader.read():  # what was before
            pass

    def receipts(self) -> Iterator[Receipt]:
        """Blocks of `left` that were published or given up since the last call; they are taken out of it."""
        ended: dict[Key, Event] = {}
        for _, event in self._reader.read():
            if not event["event"].startswith("block_"):
                continue
            key = (event["stage"], event["part"], event["block"])
            if event["event"] == "block_started":
                self._begun.add(key)
            elif event["event"] in _ENDS:
                self._begun.discard(key)
            if event["event"] == "block_published" or (event["event"] == "block_lost" and event.get("is_final")):
                ended[key] = event
        for key, event in ended.items():
            task = self.left.get(key)
            if task is None:
                continue
            if event["event"] == "block_lost":
                del self.left[key]
                yield Receipt(task=task, state="lost", message=event["reason"])
            elif self.layout.summaries(*key).exists():
                del self.left[key]
                yield _receipt(task, event)
        if self.left:
            stage = next(iter(self.left))[0]
            for part, block in published(self.layout, stage):
                task = self.left.pop((stage, part, block), None)
                if task is not None:
                    yield Receipt(task=task, state="published")

    def broken_off(self) -> list[BlockTask]:
        """Blocks that were begun and have not ended, once no worker is left; each is named once."""
        found = [self.left[key] for key in sorted(self._begun & self.left.keys())]
        self._begun.clear()
        return found


def _receipt(task: BlockTask, event: Event) -> Receipt:
    return Receipt(
        task=task,
        state="published",
        n_ok=event["n_ok"],
        n_failed=event["n_failed"],
        seconds=event["seconds"],
        compile_s=event["compile_s"],
        worker=event["worker"],
    )
