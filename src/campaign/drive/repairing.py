"""Every kind of damage has a way back: made again from other files, computed again, or refused with what is lost.

First what everything rests on: identity and manifest, then plans, then the files that runs read. What has been made
again is looked at again, so that nothing is called lost because of a file that could be rebuilt. Nothing is put aside
before it is known that it can be done again.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from campaign.analysis.check_foundation import check_foundation, is_campaign
from campaign.analysis.check_plan import why_not_again
from campaign.analysis.finding import NONE, REBUILD, REDO, Finding
from campaign.analysis.journal import Journal
from campaign.analysis.verify import Repaired, next_folder, verify
from campaign.analysis.verify import repair as put_aside
from campaign.drive.keeping import stored_manifest
from campaign.drive.rebuilding import (
    rebuild_events,
    rebuild_group,
    rebuild_identity,
    rebuild_manifest,
    rebuild_run_folder,
    rebuild_summaries,
)
from campaign.drive.replanning import rebuild_input, rebuild_plan
from campaign.errors import CampaignError, Damage, ManifestError, UsageError
from campaign.reduce.reducer import reduce
from campaign.store.atomic import publish_bytes
from campaign.store.events import EventLog
from campaign.store.layout import Layout
from campaign.store.lease import Lease, acquire

_FIRST = {"identity": 0, "manifest": 0, "plan": 1, "input": 2}
_LAST = 3
_ROUNDS = 12  # each repairs what the one before has uncovered
_SUMMARIES = re.compile(r"summaries/([^/]+)/(\d+)-(\d+)\.jsonl")
VITAL = frozenset({"identity", "manifest", "plan", "program", "summaries"})  # a driver that lacks one cannot go on

Rebuilder = Callable[[Layout, Finding], str | None]  # None: it is as it was; else why it cannot be
_REBUILDERS: dict[str, Rebuilder] = {
    "identity": rebuild_identity,
    "manifest": rebuild_manifest,
    "plan": rebuild_plan,
    "input": rebuild_input,
    "trace group": rebuild_group,
    "run folder": rebuild_run_folder,
    "events": rebuild_events,
}


@dataclass(slots=True)
class _Work:
    """What a repair has done so far."""

    folder: Path
    rebuilt: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    moved: list[str] = field(default_factory=list)
    refused: dict[tuple[str, str], str] = field(default_factory=dict)


def repair(
    layout: Layout, findings: Sequence[Finding], *, lease: Lease | None = None, is_thorough: bool = True
) -> Repaired:
    """Repair what can be, and say of the rest what is lost.

    Args:
        layout, findings: of `verify`.
        lease: of a driver that repairs; taken for the time of the repair when left out.
        is_thorough: how to look again: see `verify`.

    Raises:
        Locked: a driver is at work.
        Unavailable: the campaign directory cannot be written.
    """
    with acquire(layout) if lease is None else contextlib.nullcontext(lease) as held:
        work = _Work(next_folder(layout))
        for _ in range(_ROUNDS):
            todo = [finding for finding in findings if finding.repair != NONE and _key(finding) not in work.refused]
            if not todo:
                break
            level = min(_level(finding) for finding in todo)
            _repair_level(layout, work, [finding for finding in todo if _level(finding) == level], held)
            findings = verify(layout, is_thorough=is_thorough)
        if any(path.startswith("plan/") for path in work.rebuilt):
            with contextlib.suppress(Damage):
                reduce(layout)
    has_copies = work.folder.is_dir()
    return Repaired(
        removed=tuple(work.removed),
        moved=tuple(work.moved),
        rebuilt=tuple(work.rebuilt),
        folder=work.folder.relative_to(layout.root).as_posix() if has_copies else "",
        left=tuple(_refused(finding, work) for finding in findings),
    )


def refuse(left: Sequence[Finding], layout: Layout) -> None:
    """End a driver whose campaign lacks what it cannot do without.

    Raises:
        Damage: the first thing that is lost, and how many more.
    """
    lost = [finding for finding in left if finding.kind in VITAL]
    if lost:
        more = f" (and {len(lost) - 1} more)" if len(lost) > 1 else ""
        hint = f"`campaign verify {layout.root}` lists all findings"
        raise Damage(f"{lost[0].place}: {lost[0].message}{more}", hint=hint)


def _repair_level(layout: Layout, work: _Work, findings: Sequence[Finding], lease: Lease) -> None:
    simple: list[Finding] = []
    n_before = len(work.rebuilt)
    for finding in findings:
        reason = None
        is_made = finding.repair == REBUILD or finding.kind == "summaries"
        if is_made and finding.place.partition(",")[0] not in work.rebuilt:
            place = finding.place.partition(",")[0]
            before = _content(layout.root / place)
            reason = _made_again(layout, finding)
            if reason is None:
                work.rebuilt.append(place)
                _keep(work.folder / place, before)
                continue
        elif finding.repair == REBUILD:
            reason = "it was made again, and is not whole"
        if finding.repair == REDO:
            reason = _why_not(layout, finding)
        if reason is None:
            simple.append(finding)
        else:
            work.refused[_key(finding)] = reason
    if len(work.rebuilt) > n_before:
        work.refused.clear()  # what was refused may have waited for what has been made now
    if simple:
        done = put_aside(layout, simple, lease=lease, folder=work.folder)
        work.removed += done.removed
        work.moved += done.moved


def _made_again(layout: Layout, finding: Finding) -> str | None:
    """Make a file again. A reason where that cannot be."""
    try:
        if finding.kind == "summaries":
            return rebuild_summaries(layout, finding)
        return _REBUILDERS[finding.kind](layout, finding)
    except CampaignError as error:
        if error.exit_code == 6:  # the disk cannot be written: nothing more can be repaired
            raise
        return str(error)


def _why_not(layout: Layout, finding: Finding) -> str | None:
    """Why the blocks whose summaries would be put aside could not be computed again."""
    for path in finding.paths:
        match = _SUMMARIES.fullmatch(path)
        if match and finding.message != "no plan has this block":
            reason = why_not_again(layout, match[1], int(match[2]))
            if reason is not None:
                return f"it cannot be computed again: {reason}"
    return None


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _keep(copy: Path, content: bytes | None) -> None:
    """A damaged file, as it was, under damaged/<n>."""
    if content is not None and not copy.exists():
        publish_bytes(copy, content)


def _key(finding: Finding) -> tuple[str, str]:
    return finding.kind, finding.place


def _level(finding: Finding) -> int:
    return _FIRST.get(finding.kind, _LAST)


def _refused(finding: Finding, work: _Work) -> Finding:
    reason = work.refused.get(_key(finding))
    return finding if reason is None else replace(finding, message=f"{finding.message}; {reason}", repair=NONE)


def repair_campaign(layout: Layout, lease: Lease) -> None:
    """Repair what can be, say so in the journal, and refuse to go on without what a driver needs."""
    findings = verify(layout, is_thorough=False)
    if any(finding.repair != NONE for finding in findings):
        repaired = repair(layout, findings, lease=lease, is_thorough=False)
        said = {"removed": len(repaired.removed), "moved": list(repaired.moved), "rebuilt": list(repaired.rebuilt)}
        if repaired.removed or repaired.moved or repaired.rebuilt:
            with EventLog(layout) as events:
                events.append("repaired", **said, durable=True)
        refuse(repaired.left, layout)


def repair_foundation(layout: Layout) -> None:
    """Repair identity and manifest, which are read before a driver can hold its lease; refuse where that fails."""
    try:
        stored_manifest(layout)
    except (Damage, UsageError, ManifestError):
        if not is_campaign(layout):
            raise
        journal = Journal.of(layout)
        journal.update()
        findings = list(check_foundation(layout, journal))
        if findings:
            refuse(repair(layout, findings, is_thorough=False).left, layout)
