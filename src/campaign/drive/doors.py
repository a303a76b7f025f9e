"""The doors to running: submit, resume, plan, retry, stop. The only place, with `stage`, where both wings meet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from campaign.drive.driver import drive
from campaign.drive.execution import chosen_execution
from campaign.drive.extending import extended
from campaign.drive.held import opened
from campaign.drive.keeping import changes, keep_files, stored_manifest
from campaign.drive.next_part import StagePlan, follows, plan, planned, validate
from campaign.drive.repairing import repair_campaign, repair_foundation
from campaign.drive.report import OnProgress, Progress, Report, StageReport
from campaign.drive.retry import retry_runs
from campaign.drive.succession import stop, take_over
from campaign.errors import InvalidValue, UnknownName, nearest
from campaign.execute.base import Control
from campaign.execute.catalogue import make_executor, starting_early
from campaign.execute.mpi.ranks import part_ways
from campaign.manifest.retry import KINDS
from campaign.store import plan as plans
from campaign.store.claim import check_directory, claim, layout_mode, make_root, read_identity, record_manifest, root_of
from campaign.store.events import EventLog
from campaign.store.layout import Layout
from campaign.store.lease import acquire
from campaign.store.records import dumps_pretty

if TYPE_CHECKING:
    from campaign.manifest.model import Manifest

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
        manifest_path: the JSON, or what `drive.held` kept of it.
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
    submission = opened(path, settings)
    manifest = submission.manifest
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
            claim(layout, manifest.name, folder=submission.folder, mode=mode, checkpoint_s=execution.checkpoint_s)
            kept, notes = keep_files(layout, manifest)
            _note_files(layout, manifest)
            record_manifest(layout, submission.text)
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
        repair_foundation(layout)
    manifest = stored_manifest(layout)
    execution = chosen_execution(manifest, executor, workers, profile, preflight)
    part_ways(execution.executor)
    make_executor(execution)  # an unknown name or option is found before the work of others is ended
    control = control or Control()
    with acquire(layout) as lease:
        if take_over(layout, execution) and check:
            repair_campaign(layout, lease)
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
