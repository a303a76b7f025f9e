"""Events: journals that say what happened, one file a writer, appended to and never changed.

Events are for people and for `status`; no decision about what is done is taken from them, since a block is done when
its summaries are on disk. So an append is one `write` of one whole line and is not synced: after a power cut the last
events may be missing, after a kill the last line may be torn, and nothing else is lost. `append(…, durable=True)` syncs
where the record itself matters (a submission).
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from campaign.store.atomic import storage_error
from campaign.store.checksum import FIELD, fault_of_line, sealed_line
from campaign.store.layout import Layout
from campaign.store.owner import this_process
from campaign.store.records import dumps, loads

Event = dict[str, Any]
_PIECE = 1 << 20  # bytes read at a time


class EventLog:
    """The journal of one writer. Threads may share it; a forked child must make its own."""

    def __init__(self, layout: Layout, writer: str | None = None) -> None:
        """Args:
        layout: of the campaign.
        writer: unique name; this process's when None.
        """
        self.writer = writer or this_process().writer
        self.path = layout.event_log(self.writer)
        self._lock = threading.Lock()
        self._descriptor: int | None = None

    def append(self, event: str, *, durable: bool = False, **fields: Any) -> None:
        """Add one line {"t": now, "event": event, **fields}, with its checksum.

        Raises:
            Unavailable: the disk is full or read-only. Bookkeeping that fails, fails loudly.
        """
        line = sealed_line(dumps({"t": time.time(), "event": event, **fields})) + b"\n"
        try:
            with self._lock:
                if self._descriptor is None:
                    self._descriptor = self._open()
                written = os.write(self._descriptor, line)
                while written < len(line):  # a disk about to fill, or a signal
                    written += os.write(self._descriptor, line[written:])
                if durable:
                    os.fsync(self._descriptor)
        except OSError as error:
            error.filename = error.filename or str(self.path)
            raise storage_error(error) from error

    def _open(self) -> int:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            os.write(descriptor, b"\n")  # an earlier life of this writer was cut off in a line: that line stays torn
        return descriptor

    def close(self) -> None:
        with self._lock:
            if self._descriptor is not None:
                os.close(self._descriptor)
                self._descriptor = None

    def __enter__(self) -> EventLog:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class EventReader:
    """Reads all journals of a campaign, and next time only what was added.

    Attributes:
        offsets: writer → bytes read so far; whole lines only.
        n_malformed: whole lines that were no event, by their form or their checksum, and were passed over.
    """

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.offsets: dict[str, int] = {}
        self.n_malformed = 0

    def read(self) -> Iterator[tuple[str, Event]]:
        """(writer, event) of every whole line not given before, in order within a writer.

        Costs one directory listing and a stat a writer, plus the bytes that are new. A line without its newline is
        left for the next call.
        """
        try:
            with os.scandir(self.layout.events) as entries:
                found = sorted(
                    (entry.name.removesuffix(".jsonl"), entry.stat().st_size, entry.path)
                    for entry in entries
                    if entry.name.endswith(".jsonl") and not entry.name.startswith(".")
                )
        except FileNotFoundError:
            return
        for writer, size, path in found:
            if size != self.offsets.get(writer, 0):
                yield from self._read_file(writer, Path(path), size)

    def _read_file(self, writer: str, path: Path, size: int) -> Iterator[tuple[str, Event]]:
        if size < self.offsets.get(writer, 0):
            self.offsets[writer] = 0  # replaced by hand: begin again
        with path.open("rb") as file:
            file.seek(self.offsets.get(writer, 0))
            rest = b""
            while piece := file.read(_PIECE):
                *lines, rest = (rest + piece).split(b"\n")
                for line in lines:
                    self.offsets[writer] = self.offsets.get(writer, 0) + len(line) + 1
                    event = self._parse(line)
                    if event is not None:
                        yield writer, event

    def _parse(self, line: bytes) -> Event | None:
        event = parse_event(line)
        self.n_malformed += event is None and bool(line.strip(b" "))
        return event


def parse_event(line: bytes) -> Event | None:
    """The event of a line, or None: no JSON, no event, or not what its checksum says."""
    try:
        event = loads(line)
    except ValueError:
        return None
    if not isinstance(event, dict) or fault_of_line(line) is not None:
        return None
    event.pop(FIELD, None)
    is_event = isinstance(event.get("event"), str) and isinstance(event.get("t"), int | float)
    return event if is_event else None


def malformed(path: Path) -> list[tuple[int, int]]:
    """(begin, end) of every whole line of a journal that is not an event, newlines left out."""
    found, begin = [], 0
    for line in path.read_bytes().split(b"\n")[:-1]:
        if line.strip(b" ") and parse_event(line) is None:
            found.append((begin, begin + len(line)))
        begin += len(line) + 1
    return found


def blank(path: Path) -> None:
    """Overwrite lines that are not events with spaces, in place: processes that append or read are not disturbed."""
    with path.open("rb+") as file:
        for begin, end in malformed(path):
            file.seek(begin)
            file.write(b" " * (end - begin))
        file.flush()
        os.fsync(file.fileno())


def read_events(layout: Layout) -> list[Event]:
    """All events of a campaign in order of time; each has its "writer"."""
    events = [event | {"writer": writer} for writer, event in EventReader(layout).read()]
    return sorted(events, key=lambda event: event["t"])
