"""The doors to running: submit, resume, plan, retry, stop. The only place, with `stage`, where both wings meet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from campaign.analysis.check_foundation import check_foundation, is_campaign
from campaign.analysis.finding import NONE
from campaign.analysis.journal import Journal
from campaign.analysis.verify import verify
from campaign.drive.driver import drive
from campaign.drive.extending import extended
from campaign.drive.keeping import changes, keep_files, with_files
from campaign.drive.next_part import StagePlan, follows, plan, planned, validate
from campaign.drive.repairing import refuse, repair
from campaign.drive.report import OnProgress, Progress, Report, StageReport
from campaign.drive.retry import retry_runs
from campaign.drive.succession import stop, take_over
from campaign.errors import Damage, InvalidValue, ManifestError, UnknownName, UsageError, nearest
from campaign.execute.base import Control
from campaign.execute.catalogue import make_executor, starting_early
from campaign.execute.mpi.ranks import part_ways
from campaign.manifest.retry import KINDS
from campaign.problem.file import is_file_problem
from campaign.schedule.check import open_manifest
from campaign.store import plan as plans
from campaign.store.claim import check_directory, claim, layout_mode, make_root, read_identity, record_manifest, root_of
from campaign.store.events import EventLog
from campaign.store.layout import Layout
from campaign.store.lease import Lease, acquire
from campaign.store.records import dumps_pretty

if TYPE_CHECKING:
    from campaign.manifest.model import Execution, Manifest

__all__ = [
    "Progress",
    "Report",
    "StagePlan",
    "StageReport",
    "extend",
    "plan",
    "request_stop",
    "resume",
    "retry",
    "submit",
    "validate",
]


def submit(
    manifest_path: str | Path,
    directory: str | Path | None = None,
    *,
    executor: str | None = None,
    workers: int | None = None,
    profile: str | None = None,
    preflight: bool | None = None,
    settings: Sequence[str] = (),
    on_progress: OnProgress | None = None,
    control: Control | None = None,
) -> Report:
    """Run what a manifest asks for and is not done yet.

    Args:
        manifest_path: the JSON.
        directory: of the campaign; ``results/<name>`` when None.
        executor, workers, profile, preflight: override the manifest's `execution`; they change no run.
        settings: `key=value`: single values of the manifest, changed; the directory keeps the manifest as changed.
        on_progress: called a few times a second at most.
        control: set its events to drain or cancel.

    Raises:
        ManifestError: every finding at once.
        UsageError: the directory belongs to somebody else.
        Locked: another driver is at work on it.
        Unavailable: the executor cannot start, or the disk cannot be written.
    """
    path = Path(manifest_path)
    manifest = open_manifest(path, settings)
    root = root_of(directory, manifest.name)
    check_directory(root, manifest.name)
    execution = chosen_execution(manifest, executor, workers, profile, preflight)
    part_ways(execution.executor)
    make_executor(execution)  # an unknown name or option is found before anything is written
    with starting_early(execution):
        own = [stage for stage in manifest.stages if not follows(stage)]
        first = {stage.name: planned(Layout(root), manifest, stage) for stage in own}
        make_root(root)
        layout = Layout(root.resolve())
        control = control or Control()
        with acquire(layout) as lease:
            take_over(layout, execution)
            first = {name: part for name, part in first.items() if _is_next(layout, name, part.part)}
            mode = layout_mode(execution.layout, sum(part.header["n_runs"] for part in first.values()))
            said = changes(layout, check_directory(layout.root, manifest.name), manifest)
            claim(layout, manifest.name, folder=manifest.folder, mode=mode, checkpoint_s=execution.checkpoint_s)
            kept, notes = keep_files(layout, manifest)
            _note_files(layout, manifest)
            record_manifest(layout, dumps_pretty(manifest.document) if settings else path.read_bytes())
            report = drive(layout, kept, execution, lease, control, on_progress, first)
            return replace(report, warnings=(*said, *notes))


def _note_files(layout: Layout, manifest: Manifest) -> None:
    """Write down which files belong to the manifest that is recorded next."""
    identity = read_identity(layout)
    tree = manifest.kept.tree if manifest.kept is not None else None
    if tree is not None:
        claim(
            layout,
            identity.name,
            folder=Path(identity.folder),
            mode=identity.layout,
            checkpoint_s=identity.checkpoint_s,
            inputs={manifest.sha256: tree},
        )


def resume(
    directory: str | Path,
    *,
    executor: str | None = None,
    workers: int | None = None,
    profile: str | None = None,
    preflight: bool | None = None,
    on_progress: OnProgress | None = None,
    control: Control | None = None,
    check: bool = True,
) -> Report:
    """Go on with a campaign where its directory says it stands. See `submit`.

    Args:
        check: first look for damage; make again what is damaged, or put it aside and compute it again.

    Raises:
        Damage: something that a driver needs is lost; says what, and what helps.
    """
    layout = Layout(Path(directory).resolve())
    if check:
        _mend_foundation(layout)
    manifest = stored_manifest(layout)
    execution = chosen_execution(manifest, executor, workers, profile, preflight)
    part_ways(execution.executor)
    make_executor(execution)  # an unknown name or option is found before the work of others is ended
    control = control or Control()
    with acquire(layout) as lease:
        if take_over(layout, execution) and check:
            _mend(layout, lease)
        return drive(layout, manifest, execution, lease, control, on_progress)


def extend(
    directory: str | Path,
    steps: int,
    *,
    stage: str | None = None,
    executor: str | None = None,
    workers: int | None = None,
    profile: str | None = None,
    preflight: bool | None = None,
    on_progress: OnProgress | None = None,
    control: Control | None = None,
) -> Report:
    """Give the runs of a finished stage more steps: the stored manifest with another number of them, submitted.

    What was done is kept bit for bit; the result is that of runs which had so many steps from the beginning.

    Args:
        directory: of the campaign.
        steps: of each run, those that are done included.
        stage: which; may be left out where only one has an engine with a number of steps.
        executor, workers, profile, preflight, on_progress, control: see `submit`.

    Raises:
        UsageError: no stage can be extended so.
        Incomplete: the stage is not finished.
        ManifestError: the engine does not take so many steps.
    """
    layout = Layout(Path(directory).resolve())
    manifest = extended(layout, stored_manifest(layout), steps, stage)
    execution = chosen_execution(manifest, executor, workers, profile, preflight)
    part_ways(execution.executor)
    make_executor(execution)  # an unknown name or option is found before anything is written
    for one in manifest.stages:
        if not follows(one):
            planned(layout, manifest, one)  # its findings come before anything is written
    control = control or Control()
    with acquire(layout) as lease:
        take_over(layout, execution)
        _note_files(layout, manifest)
        record_manifest(layout, dumps_pretty(manifest.document))
        return drive(layout, manifest, execution, lease, control, on_progress)


def _is_next(layout: Layout, stage: str, part: int) -> bool:
    """Whether a part that was planned before the lease was held still is the stage's next one."""
    latest = plans.latest_part(layout, stage)
    return part == (0 if latest is None else latest + 1)


def _mend(layout: Layout, lease: Lease) -> None:
    """Repair what can be, say so in the journal, and refuse to go on without what a driver needs."""
    findings = verify(layout, is_thorough=False)
    if any(finding.repair != NONE for finding in findings):
        repaired = repair(layout, findings, lease=lease, is_thorough=False)
        said = {"removed": len(repaired.removed), "moved": list(repaired.moved), "rebuilt": list(repaired.rebuilt)}
        if repaired.removed or repaired.moved or repaired.rebuilt:
            with EventLog(layout) as events:
                events.append("repaired", **said, durable=True)
        refuse(repaired.left, layout)


def _mend_foundation(layout: Layout) -> None:
    """Identity and manifest, which are read before a driver can hold its lease."""
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


def stored_manifest(layout: Layout) -> Manifest:
    """The manifest as submitted last.

    Raises:
        UsageError: the directory is no campaign.
        Damage: its identity, its manifest, or a copy of the files that it was submitted with is.
    """
    read_identity(layout)
    try:
        text = layout.manifest.read_bytes()
    except FileNotFoundError:
        raise Damage(f"{layout.manifest} is missing", hint=f"run `campaign verify {layout.root} --repair`") from None
    return with_files(layout, text, source=str(layout.manifest))


def chosen_execution(
    manifest: Manifest, executor: str | None, workers: int | None, profile: str | None, preflight: bool | None = None
) -> Execution:
    """Where and how runs execute: the manifest's `execution`, changed by a profile, changed by the arguments.

    `auto` begins in this process, but not with people's own code: that goes to workers from the first block on.

    Args:
        profile: one of the manifest's, or a cluster profile.

    Raises:
        UnknownName: no such profile.
    """
    from campaign.execute.queue.profiles import profile_names

    changes: dict[str, object] = {"executor": executor, "workers": workers, "preflight": preflight}
    is_cluster = profile is not None and (profile.endswith(".toml") or profile in profile_names())
    if is_cluster and profile not in manifest.profiles:
        execution, changes["profile"] = manifest.execution, profile
    elif profile is not None and profile not in manifest.profiles:
        hint = nearest(profile, (*manifest.profiles, *profile_names()))
        raise UnknownName(f"unknown profile `{profile}`", hint=hint)
    else:
        execution = manifest.execution_for(profile)
    changes = {name: value for name, value in changes.items() if value is not None}
    if (changes.get("executor") or execution.executor) == "auto" and _has_own_code(manifest):
        changes["executor"] = "dask"  # a model that crashes or hangs must not take the driver along
    return execution.model_copy(update=changes)


def _has_own_code(manifest: Manifest) -> bool:
    """Whether a problem is in a file of the user's."""
    return any(is_file_problem(str((stage.problem or {}).get("name", ""))) for stage in manifest.stages)


def retry(
    directory: str | Path, run_ids: Sequence[str], *, kinds: Sequence[str] = (), factor: float | None = None
) -> int:
    """Plan runs once more: new rows in new blocks, attempt + 1. `resume` runs them.

    Args:
        directory: of the campaign.
        run_ids: which runs; all when empty.
        kinds: of these endings (`manifest.retry.KINDS`); all failures when empty.
        factor: times as much time for "timeout" and steps for "nonconverged"; the manifest's, or 2, when None.

    Returns:
        How many runs were planned.

    Raises:
        UnknownName: no such kind.
    """
    for kind in kinds:
        if kind not in KINDS:
            raise UnknownName(f"unknown kind of ending `{kind}`", hint=nearest(kind, KINDS))
    layout = Layout(Path(directory).resolve())
    manifest = stored_manifest(layout)
    if not layout.table.exists():
        raise InvalidValue(f"{layout.root} has no table yet", hint="run `campaign reduce` first")
    with acquire(layout), EventLog(layout) as events:
        planned = (stage for stage in manifest.stages if plans.latest_part(layout, stage.name) is not None)
        counts = [retry_runs(layout, stage, run_ids, kinds, factor, events) for stage in planned]
    return sum(sum(count.values()) for count in counts)


def request_stop(directory: str | Path, mode: str) -> bool:
    """Ask whoever works on a campaign, wherever it runs, to stop.

    Args:
        directory: of the campaign.
        mode: "drain" (blocks in flight stop at their next chunk), "pause" (the same, and the campaign says so until it
            is resumed) or "cancel" (blocks in flight are dropped).

    Returns:
        Whether anybody is at work; where nobody is, nothing happens.
    """
    layout = Layout(Path(directory).resolve())
    if not layout.driver_job.exists():  # a detached driver that has not begun has a directory without an identity
        read_identity(layout)
    return stop(layout, mode)
