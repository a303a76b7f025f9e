"""`campaign submit --dry-run`: the jobs that would be submitted, stage by stage, word for word."""

from __future__ import annotations

from pathlib import Path

from campaign.cli.output import guarded_stdout, strong, write, write_json
from campaign.errors import UnknownName, nearest


def print_jobs(
    manifest: str,
    directory: str | None,
    settings: tuple[str, ...],
    executor: str | None,
    workers: int | None,
    profile: str | None,
    *,
    detach: bool,
    as_json: bool,
) -> None:
    """Print what each stage would hand over, after the driver's own job where it is one. Writes nothing.

    Raises:
        ManifestError: with every finding.
        UnknownName, InvalidValue: the execution names no executor or profile that there is.
    """
    from campaign.cli.detaching import driver_job_script, submit_arguments
    from campaign.drive.doors import plan
    from campaign.drive.execution import chosen_execution
    from campaign.drive.held import held_at, opened
    from campaign.execute.catalogue import executor_names
    from campaign.execute.dry_run import TOKEN, dry_run
    from campaign.store.claim import root_of
    from campaign.store.layout import Layout

    with guarded_stdout():
        submission = opened(Path(manifest), settings)
    checked = submission.manifest
    execution = chosen_execution(checked, executor, workers, profile)
    if execution.executor not in executor_names():
        hint = nearest(execution.executor, executor_names())
        raise UnknownName(f"unknown executor `{execution.executor}`", hint=hint)
    root = root_of(directory, checked.name)
    with guarded_stdout():
        stages = plan(manifest, directory, settings=settings)
    jobs = {stage.stage: dry_run(execution, root, stage.stage, stage.n_blocks) for stage in stages}
    held = held_at(Layout(root.resolve()), submission)  # a driver that is a job reads what is kept for it
    arguments = submit_arguments(held, root, (), executor, workers, profile)
    driver = driver_job_script(checked.name, arguments, root, execution, TOKEN) if detach else None
    jobs = {"driver": driver.text} | jobs if driver else jobs
    if as_json:
        write_json("submit", {"dry_run": True, "directory": str(root), "jobs": jobs})
        return
    for name, text in jobs.items():
        write(strong(name))
        write(text.rstrip())
