"""Files that do not belong, or that are not needed any more."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from campaign.analysis.finding import LEFTOVER, NONE, REBUILD, REMOVE, Finding
from campaign.analysis.journal import Journal
from campaign.errors import Damage
from campaign.reduce.schema import METADATA
from campaign.reduce.sealing import FIELD, fault_of_file
from campaign.store.events import malformed
from campaign.store.inventory import is_abandoned, is_known, walk
from campaign.store.layout import Layout
from campaign.store.lease import EXPIRY_S, file_system_time
from campaign.store.npz import fault_of
from campaign.store.records import read_json
from campaign.store.summaries import published

_STATE = re.compile(r"(checkpoints|states)/([^/]+)/(\d+)-(\d+)\.(npz|hung|passes|passes-before)")
_WHAT = {"npz": "the checkpoint", "hung": "the hangs", "passes": "the passes", "passes-before": "the passes"}
_LOCK = re.compile(r"lock/[^/]+\.json")
_LEASE = re.compile(r"lock/(driver|claim-.+|share-.+)\.json")  # made in place, so empty for a moment
_KNOWN_METADATA = frozenset((*METADATA, b"ARROW:schema", FIELD.encode()))


def check_files(layout: Layout) -> Iterator[Finding]:
    """Temporary files of processes that ended, checkpoints of finished blocks, files that campaign did not write."""
    done: dict[str, set[tuple[int, int]]] = {}
    for relative, is_temporary in walk(layout):
        state = _STATE.fullmatch(relative)
        if is_temporary:
            if is_abandoned(layout, relative):
                yield _leftover(relative, "a process ended while it wrote this")
        elif state is not None:
            kind, stage, part, block, suffix = state.groups()
            if stage not in done:
                done[stage] = published(layout, stage)
            if kind == "checkpoints" and (int(part), int(block)) in done[stage]:
                yield _leftover(relative, f"{_WHAT[suffix]} of a block that is published")
            elif suffix == "npz":
                yield from _check_state(layout, relative, kind)
        elif relative.startswith("lock/probe-"):
            if is_abandoned(layout, relative):
                yield _leftover(relative, "a process ended while it asked the time")
        elif _LOCK.fullmatch(relative):
            yield from _check_lock(layout, relative)
        elif not is_known(relative):
            yield Finding(kind="foreign", place=relative, message="not a file of a campaign", repair=NONE)


def _leftover(relative: str, message: str) -> Finding:
    return Finding(kind=LEFTOVER, place=relative, message=message, repair=REMOVE, paths=(relative,))


def _check_state(layout: Layout, relative: str, kind: str) -> Iterator[Finding]:
    try:
        fault = fault_of(layout.root / relative)
    except FileNotFoundError:
        return
    if fault is not None:
        then = "its block begins from the start" if kind == "checkpoints" else "more steps are computed from the start"
        yield Finding(
            kind="state", place=relative, message=f"{fault}; without it {then}", repair=REMOVE, paths=(relative,)
        )


def _check_lock(layout: Layout, relative: str) -> Iterator[Finding]:
    """Files of `lock/` that cannot be read. Leases have a moment in which they are empty."""
    path = layout.root / relative
    try:
        is_new = _LEASE.fullmatch(relative) and file_system_time(layout) - path.stat().st_mtime < EXPIRY_S
        if is_new or isinstance(read_json(path), dict):
            return
        fault = "not a JSON object"
    except (FileNotFoundError, PermissionError):
        return
    except Damage as error:
        fault = error.message
    message = f"{fault}; if jobs of this campaign are in a queue, look for them there"
    yield Finding(kind="lock", place=relative, message=message, repair=REMOVE, paths=(relative,))


def check_events(layout: Layout, journal: Journal) -> Iterator[Finding]:
    """Blocks that were published according to a journal, and are not there; lines that are not events."""
    moved = {p.relative_to(layout.damaged).parts[1:] for p in layout.damaged.glob("*/summaries/*/*.jsonl")}
    done: dict[str, set[tuple[int, int]]] = {}
    for task in sorted(journal.published):
        if task.stage not in done:
            done[task.stage] = published(layout, task.stage)
        path = layout.summaries(task.stage, task.part, task.block).relative_to(layout.root)
        if (task.part, task.block) not in done[task.stage] and path.parts not in moved:
            message = "published according to the events, but missing; `campaign resume` runs it again"
            yield Finding(kind="events", place=path.as_posix(), message=message)
    for path in sorted(layout.events.glob("*.jsonl")) if journal.reader.n_malformed else ():
        n = len(malformed(path))
        if n:
            message = f"{n} line{'s are' if n > 1 else ' is'} no event; nothing else rests on it"
            yield Finding(
                kind="events", place=path.relative_to(layout.root).as_posix(), message=message, repair=REBUILD
            )


def check_table(layout: Layout) -> Iterator[Finding]:
    """Tables that cannot be read; `campaign reduce` makes them again."""
    for path in sorted(layout.tables.glob("*.parquet")) if layout.tables.is_dir() else []:
        try:
            fault = fault_of_file(path)
            if fault is not None:
                raise pa.ArrowInvalid(fault)
            with pq.ParquetFile(path) as file:
                unknown = (file.metadata.metadata or {}).keys() - _KNOWN_METADATA if path == layout.table else ()
                if unknown:
                    raise pa.ArrowInvalid(f"unknown metadata {sorted(unknown)}")
                for group in range(file.metadata.num_row_groups):
                    file.read_row_group(group, use_threads=False)
        except FileNotFoundError:
            continue
        except (OSError, pa.ArrowException) as error:
            place = path.relative_to(layout.root).as_posix()
            message = f"cannot be read: {str(error).splitlines()[0]}"
            yield Finding(kind="table", place=place, message=message, repair=REMOVE, paths=(place,))
