"""Files that do not belong, or that nobody needs any more."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from campaign.analysis.finding import NONE, REMOVE, Finding
from campaign.analysis.journal import Journal
from campaign.store.inventory import is_abandoned, is_known, walk
from campaign.store.layout import Layout
from campaign.store.summaries import published

_CHECKPOINT = re.compile(r"checkpoints/([^/]+)/(\d+)-(\d+)\.npz")


def check_files(layout: Layout) -> Iterator[Finding]:
    """Temporary files of processes that ended, checkpoints of finished blocks, files that campaign did not write."""
    done: dict[str, set[tuple[int, int]]] = {}
    for relative, is_temporary in walk(layout):
        checkpoint = _CHECKPOINT.fullmatch(relative)
        if is_temporary:
            if is_abandoned(layout, relative):
                yield _leftover(relative, "a process ended while it wrote this")
        elif checkpoint is not None:
            stage, part, block = checkpoint.groups()
            if stage not in done:
                done[stage] = published(layout, stage)
            if (int(part), int(block)) in done[stage]:
                yield _leftover(relative, "the checkpoint of a block that is published")
        elif relative.startswith("lock/probe-"):
            if is_abandoned(layout, relative):
                yield _leftover(relative, "a process ended while it asked the time")
        elif not is_known(relative):
            yield Finding(kind="foreign", place=relative, message="no file of a campaign has this name", repair=NONE)


def _leftover(relative: str, message: str) -> Finding:
    return Finding(kind="leftover", place=relative, message=message, repair=REMOVE, paths=(relative,))


def check_events(layout: Layout) -> Iterator[Finding]:
    """Blocks that were published according to a journal, and are not there; lines that are no events."""
    journal = Journal.of(layout)
    journal.update()
    moved = {p.relative_to(layout.damaged).parts[1:] for p in layout.damaged.glob("*/summaries/*/*.jsonl")}
    done: dict[str, set[tuple[int, int]]] = {}
    for task in sorted(journal.published):
        if task.stage not in done:
            done[task.stage] = published(layout, task.stage)
        path = layout.summaries(task.stage, task.part, task.block).relative_to(layout.root)
        if (task.part, task.block) not in done[task.stage] and path.parts not in moved:
            message = "published according to the events, and not there; `campaign resume` runs it again"
            yield Finding(kind="events", place=path.as_posix(), message=message)
    if journal.reader.n_malformed:
        folder = layout.events.relative_to(layout.root).as_posix()
        yield Finding(kind="events", place=folder, message=f"{journal.reader.n_malformed} lines are no events")


def check_table(layout: Layout) -> Iterator[Finding]:
    """Tables that cannot be read; `campaign reduce` makes them again."""
    for path in sorted(layout.tables.glob("*.parquet")) if layout.tables.is_dir() else []:
        try:
            with pq.ParquetFile(path) as file:
                for group in range(file.metadata.num_row_groups):
                    file.read_row_group(group, use_threads=False)
        except (OSError, pa.ArrowException) as error:
            place = path.relative_to(layout.root).as_posix()
            message = f"cannot be read: {str(error).splitlines()[0]}"
            yield Finding(kind="table", place=place, message=message, repair=REMOVE, paths=(place,))
