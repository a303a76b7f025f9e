"""Whether the files on disk agree; if not, damaged ones are moved aside, and `campaign resume` computes them again."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from campaign.analysis.check_files import check_events, check_files, check_table
from campaign.analysis.check_foundation import check_foundation
from campaign.analysis.check_groups import check_groups
from campaign.analysis.check_kept import check_kept
from campaign.analysis.check_plan import check_plan, stages_on_disk
from campaign.analysis.check_programs import Declared, check_programs
from campaign.analysis.check_summaries import check_summaries
from campaign.analysis.check_traces import TraceCheck
from campaign.analysis.finding import REDO, REMOVE, Finding
from campaign.analysis.journal import Journal
from campaign.store.atomic import storage_error, sync_folder
from campaign.store.layout import Layout
from campaign.store.lease import Lease, acquire

__all__ = ["Finding", "Repaired", "check", "next_folder", "repair", "verify"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Repaired:
    """What a repair did: paths relative to the campaign directory.

    Attributes:
        removed: files and folders that were not needed.
        moved: what lies under `folder` now.
        rebuilt: files that were made again; what they replaced is under `folder`.
        folder: damaged/<n>, or "" when nothing was moved.
        left: findings that need a person.
    """

    removed: tuple[str, ...]
    moved: tuple[str, ...]
    folder: str
    left: tuple[Finding, ...]
    rebuilt: tuple[str, ...] = ()


def verify(layout: Layout, *, is_thorough: bool = True) -> list[Finding]:
    """Everything that is wrong; nothing for a campaign that is as it should be, finished or not. Changes nothing.

    Args:
        layout: of the campaign.
        is_thorough: read all arrays; else `loss` and `theta` only, and of the others the lengths.
    """
    return list(check(layout, is_thorough=is_thorough))


def check(layout: Layout, *, is_thorough: bool = True) -> Iterator[Finding]:
    """The findings one by one, as they are found."""
    journal = Journal.of(layout)
    journal.update()
    yield from check_foundation(layout, journal)
    yield from check_kept(layout)
    yield from check_files(layout)
    for stage in stages_on_disk(layout, journal):
        declared: Declared = {}
        yield from check_plan(layout, stage, journal)
        yield from check_programs(layout, stage, declared)
        yield from check_groups(layout, stage, declared)
        traces = TraceCheck(layout, is_thorough=is_thorough)
        for found in check_summaries(layout, stage, declared):
            if isinstance(found, Finding):
                yield found
            else:
                yield from traces.check(found)
    yield from check_events(layout, journal)
    yield from check_table(layout)


def repair(
    layout: Layout, findings: Sequence[Finding], *, lease: Lease | None = None, folder: Path | None = None
) -> Repaired:
    """Remove what is not needed; move damaged files aside, under their own paths, into damaged/<n>.

    Nothing else is deleted. What was moved counts as not done, and `campaign resume` does it again. What can be made
    again from other files is left to `drive.repairing`.

    Args:
        layout, findings: of `verify`.
        lease: of a driver that repairs; taken for the time of the repair when left out.
        folder: where to put things; the next of damaged/<n> when left out.

    Raises:
        Locked: a driver is at work.
        Unavailable: the campaign directory cannot be written.
    """
    with acquire(layout) if lease is None else contextlib.nullcontext():
        removed = _paths(findings, REMOVE)
        moved = [path for path in _paths(findings, REDO) if path not in removed]
        folder = folder or next_folder(layout)
        try:
            for path in removed:
                _remove(layout, path)
            for path in moved:
                target = folder / path
                target.parent.mkdir(parents=True, exist_ok=True)
                if (layout.root / path).exists():
                    os.rename(layout.root / path, target)
                    sync_folder((layout.root / path).parent)
        except OSError as error:
            raise storage_error(error) from error
    return Repaired(
        removed=tuple(removed),
        moved=tuple(moved),
        folder=folder.relative_to(layout.root).as_posix() if moved else "",
        left=tuple(finding for finding in findings if finding.repair not in (REMOVE, REDO)),
    )


def next_folder(layout: Layout) -> Path:
    """damaged/<n> with the first n that is free."""
    known = [int(path.name) for path in layout.damaged.glob("*") if path.name.isdigit()]
    return layout.damaged / str(max(known, default=-1) + 1)


def _paths(findings: Sequence[Finding], kind: str) -> list[str]:
    """The paths of the findings with one kind of repair, each once."""
    return list(dict.fromkeys(path for finding in findings if finding.repair == kind for path in finding.paths))


def _remove(layout: Layout, path: str) -> None:
    target = layout.root / path
    if target.is_dir() and not target.is_symlink():
        shutil.rmtree(target, ignore_errors=True)
    else:
        target.unlink(missing_ok=True)
