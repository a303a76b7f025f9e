"""What the events of a campaign add up to, kept up to date at the cost of what is new."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from campaign.store.events import Event, EventReader
from campaign.store.layout import BlockTask, Layout

ENDS = ("block_published", "block_interrupted", "block_lost")


@dataclass(slots=True)
class Journal:
    """A running digest of all journals. `update` reads what was added since the last time.

    Attributes:
        published: last "block_published" of every block.
        started: time of the last "block_started" of every block, and the writer that wrote it.
        ended: time of the last event that ended the block, however.
        last_seen: writer → time of its last event; workers only.
        n_runs_by: writer → runs published.
        passes: last "block_pass" of every block: how far a pass over the rows of a fit was.
        n_again: blocks published more than once: work done twice.
        n_lost, n_interrupted: blocks that came back unfinished.
        n_compiles, compile_s: compilations of all workers.
        retried: kind of ending → runs that were tried again.
        submitted: last "submitted" of every part of every stage.
        driver: last "driver_started", or None.
        driver_stopped: last "driver_stopped", or None.
    """

    reader: EventReader
    published: dict[BlockTask, Event] = field(default_factory=dict)
    started: dict[BlockTask, tuple[float, str]] = field(default_factory=dict)
    ended: dict[BlockTask, float] = field(default_factory=dict)
    last_seen: dict[str, float] = field(default_factory=dict)
    n_runs_by: dict[str, int] = field(default_factory=dict)
    passes: dict[BlockTask, Event] = field(default_factory=dict)
    n_again: int = 0
    n_lost: int = 0
    n_interrupted: int = 0
    n_compiles: int = 0
    compile_s: float = 0.0
    retried: Counter[str] = field(default_factory=Counter)
    submitted: dict[tuple[str, int], Event] = field(default_factory=dict)
    driver: Event | None = None
    driver_stopped: Event | None = None

    @staticmethod
    def of(layout: Layout) -> Journal:
        return Journal(EventReader(layout))

    def update(self) -> None:
        for writer, event in self.reader.read():
            kind = event["event"]
            if kind == "driver_started":
                self.driver = _later(self.driver, event)
            elif kind == "driver_stopped":
                self.driver_stopped = _later(self.driver_stopped, event)
            elif kind == "submitted":
                self.submitted |= dict.fromkeys(_parts(event), event)
            elif kind == "retried":
                self.retried[str(event.get("kind", "failed"))] += int(event.get("n_runs") or 0)
            elif kind.startswith("block_"):
                task = _task(event)
                if task is not None and (kind != "block_published" or _is_whole(event)):
                    self._block(kind, task, writer, event)

    def _block(self, kind: str, task: BlockTask, writer: str, event: Event) -> None:
        if kind != "block_lost":  # that one is written by the driver
            self.last_seen[writer] = max(event["t"], self.last_seen.get(writer, 0.0))
        if kind == "block_started":
            self.started[task] = max((event["t"], writer), self.started.get(task, (0.0, "")))
        elif kind == "block_pass":
            self.passes[task] = _later(self.passes.get(task), event)
        elif kind in ENDS:
            self.ended[task] = max(event["t"], self.ended.get(task, 0.0))
        if kind == "block_published":
            self.n_again += task in self.published
            self.published[task] = _later(self.published.get(task), event)
            self.n_runs_by[writer] = self.n_runs_by.get(writer, 0) + event["n_ok"] + event["n_failed"]
            self.n_compiles += int(event.get("n_compiles") or 0)
            self.compile_s += float(event.get("compile_s") or 0.0)
        self.n_lost += kind == "block_lost"
        self.n_interrupted += kind == "block_interrupted"

    def open_blocks(self) -> Iterator[tuple[BlockTask, str]]:
        """Blocks that were begun and not ended, as far as the events say, with the writer that began them."""
        stopped = self.driver_stopped["t"] if self.driver_stopped else 0.0
        for task, (since, writer) in self.started.items():
            if since > self.ended.get(task, 0.0) and since > stopped:
                yield task, writer


def _is_whole(event: Event) -> bool:
    """Whether a "block_published" says what it must; one that does not is as good as lost."""
    return (
        isinstance(event.get("n_ok"), int)
        and isinstance(event.get("n_failed"), int)
        and isinstance(event.get("failures"), list)
        and all({"signature", "message", "run_id", "n"} <= failure.keys() for failure in event["failures"])
    )


def _later(one: Event | None, other: Event) -> Event:
    return one if one is not None and one["t"] > other["t"] else other


def _parts(event: Event) -> Iterator[tuple[str, int]]:
    stages = event.get("stages")
    for stage, counts in stages.items() if isinstance(stages, dict) else ():
        if isinstance(counts, dict) and isinstance(counts.get("part"), int):
            yield stage, counts["part"]


def _task(event: dict[str, Any]) -> BlockTask | None:
    try:
        return BlockTask(str(event["stage"]), int(event["part"]), int(event["block"]))
    except (KeyError, TypeError, ValueError):
        return None
