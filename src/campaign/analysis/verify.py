"""Does what is on disk agree with itself? If not: the damaged is put aside, and `campaign resume` does it again."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from campaign.analysis.check_files import check_events, check_files, check_table
from campaign.analysis.check_plan import check_plan
from campaign.analysis.check_summaries import check_summaries
from campaign.analysis.check_traces import TraceCheck
from campaign.analysis.finding import NONE, REDO, REMOVE, Finding
from campaign.store.atomic import storage_error, sync_folder
from campaign.store.layout import Layout
from campaign.store.lease import Lease, acquire

__all__ = ["Finding", "Repaired", "check", "repair", "verify"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Repaired:
    """What a repair did: paths relative to the campaign directory.

    Attributes:
        removed: files and folders that nobody needed.
        moved: what lies under `folder` now.
        folder: damaged/<n>, or "" when nothing was moved.
        left: findings that need a person.
    """

    removed: tuple[str, ...]
    moved: tuple[str, ...]
    folder: str
    left: tuple[Finding, ...]


def verify(layout: Layout) -> list[Finding]:
    """Everything that is wrong; nothing for a campaign that is as it should be, finished or not. Changes nothing."""
    return list(check(layout))


def check(layout: Layout) -> Iterator[Finding]:
    """The findings one by one, as they are found. Reads every summary and the `loss` and `theta` of every run."""
    yield from check_files(layout)
    plans = layout.plan_folder("x").parent
    traces = TraceCheck(layout)
    for folder in sorted(p for p in plans.iterdir() if p.is_dir()) if plans.is_dir() else []:
        yield from check_plan(layout, folder.name)
        for found in check_summaries(layout, folder.name):
            if isinstance(found, Finding):
                yield found
            else:
                yield from traces.check(found)
    yield from check_events(layout)
    yield from check_table(layout)


def repair(layout: Layout, findings: Sequence[Finding], *, lease: Lease | None = None) -> Repaired:
    """Remove what nobody needs; move damaged files aside, under their own paths, into damaged/<n>.

    Nothing else is deleted. What was moved counts as not done, and `campaign resume` does it again.

    Args:
        layout, findings: of `verify`.
        lease: of a driver that repairs; taken for the time of the repair when left out.

    Raises:
        Locked: a driver is at work.
        Unavailable: the campaign directory cannot be written.
    """
    with acquire(layout) if lease is None else contextlib.nullcontext():
        removed = _paths(findings, REMOVE)
        moved = [path for path in _paths(findings, REDO) if path not in removed]
        folder = layout.damaged / str(len(list(layout.damaged.glob("*"))))
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
        left=tuple(finding for finding in findings if finding.repair == NONE),
    )


def _paths(findings: Sequence[Finding], kind: str) -> list[str]:
    """The paths of the findings with one kind of repair, each once."""
    return list(dict.fromkeys(path for finding in findings if finding.repair == kind for path in finding.paths))


def _remove(layout: Layout, path: str) -> None:
    target = layout.root / path
    if target.is_dir() and not target.is_symlink():
        shutil.rmtree(target, ignore_errors=True)
    else:
        target.unlink(missing_ok=True)
