"""A driver in the background: its own session, its talk in `logs/`, alive before we return."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from campaign.cli.output import guarded_stdout, write, write_json
from campaign.errors import CampaignError, Unavailable
from campaign.interpreter import running
from campaign.store.layout import Layout

if TYPE_CHECKING:
    from campaign.drive.detach import DriverScript
    from campaign.manifest.model import Execution

_START_S = 60.0  # to import, plan and take the lease


def detach_submit(
    manifest: Path,
    directory: str | None,
    settings: Sequence[str],
    executor: str | None,
    workers: int | None,
    profile: str | None,
    *,
    as_json: bool,
) -> None:
    """Start `campaign submit` in the background.

    Raises:
        CampaignError: the manifest is invalid, or the driver ended before it began.
    """
    from campaign.drive.detach import wants_job
    from campaign.drive.execution import chosen_execution
    from campaign.drive.held import hold, opened
    from campaign.store.claim import check_directory, make_root, root_of

    with guarded_stdout():
        submission = opened(manifest, settings)  # findings are shown here, not in a log file
    name = submission.manifest.name
    execution = chosen_execution(submission.manifest, executor, workers, profile)
    root = root_of(directory, name)
    check_directory(root, name)
    make_root(root)
    if wants_job(execution):  # it may wait for days: what is submitted is what is here now
        manifest, settings = hold(Layout(root.resolve()), submission), ()
    arguments = submit_arguments(manifest, root, settings, executor, workers, profile)
    _begin("submit", name, arguments, root.resolve(), execution, as_json)


def detach_resume(
    directory: str, executor: str | None, workers: int | None, profile: str | None, *, as_json: bool
) -> None:
    """Start `campaign resume` in the background. Raises as `detach_submit`."""
    from campaign.drive.execution import chosen_execution
    from campaign.drive.keeping import stored_manifest

    root = Path(directory).resolve()
    manifest = stored_manifest(Layout(root))
    execution = chosen_execution(manifest, executor, workers, profile)
    arguments = ["resume", str(root), *_options(executor, workers, profile)]
    _begin("resume", manifest.name, arguments, root, execution, as_json)


def submit_arguments(
    manifest: Path,
    root: Path,
    settings: Sequence[str],
    executor: str | None,
    workers: int | None,
    profile: str | None,
) -> list[str]:
    """Arguments of `campaign` with which a driver elsewhere does what this command was asked for."""
    changes = [part for setting in settings for part in ("--set", setting)]
    arguments = ["submit", str(manifest.resolve()), "-d", str(root.resolve())]
    return [*arguments, *changes, *_options(executor, workers, profile)]


def driver_job_script(
    name: str, arguments: list[str], root: Path, execution: Execution, token: str = ""
) -> DriverScript | None:
    """What a detached driver is handed to the cluster with; None where the driver is no job."""
    from campaign.drive.detach import driver_script, wants_job
    from campaign.execute.catalogue import cluster_profile

    if not wants_job(execution):
        return None
    layout = Layout(root.resolve())
    return driver_script(layout, name, cluster_profile(execution), arguments, executor=execution.executor, token=token)


def _begin(command: str, name: str, arguments: list[str], root: Path, execution: Execution, as_json: bool) -> None:
    """Start a driver: as a job of the cluster where the execution is one of a cluster's, else as a process here."""
    from campaign.drive.detach import submit_driver

    script = driver_job_script(name, arguments, root, execution)
    if script is None:
        _start(command, arguments, root, as_json)
        return
    layout = Layout(root)
    job = submit_driver(layout, script)
    log = layout.log(f"driver-{job}")
    if as_json:
        write_json(command, {"detached": True, "job": job, "directory": str(root), "log": str(log)})
        return
    write(f"job {job} drives {root}")
    write(f"log     {log}")
    write(f"next: campaign watch {root}")
    write(f"      campaign cancel {root}")


def _options(executor: str | None, workers: int | None, profile: str | None) -> list[str]:
    from campaign.cli.running import has_preflight

    given = (("--executor", executor), ("--workers", workers), ("--profile", profile))
    words = [part for name, value in given if value is not None for part in (name, str(value))]
    return words if has_preflight() is None else [*words, "--no-preflight"]


def _start(name: str, arguments: list[str], root: Path, as_json: bool) -> None:
    from campaign.store.lease import holder

    layout = Layout(root)
    before = holder(layout)
    layout.logs.mkdir(parents=True, exist_ok=True)
    log = layout.log(f"driver-{time.time_ns():x}")
    with log.open("wb") as file:
        process = subprocess.Popen(
            [*running("campaign"), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd=Path.cwd(),
        )
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        code = process.poll()
        if code is not None and code != 0:
            raise _ended(code, log)
        current = holder(layout)
        is_ours = current is not None and current.owner is not None and current.owner.pid == process.pid
        is_new = before is None and current is not None
        has_begun = layout.identity.exists()  # else `status` would find no campaign, and a request to stop be withdrawn
        if code == 0 or (has_begun and (is_ours or is_new)):
            break
        time.sleep(0.1)
    if as_json:
        write_json(name, {"detached": True, "pid": process.pid, "directory": str(root), "log": str(log)})
        return
    write(f"driver {process.pid} works on {root}")
    write(f"log     {log}")
    write(f"next: campaign watch {root}")
    write(f"      campaign cancel {root}")


def _ended(code: int, log: Path) -> CampaignError:
    """The driver's own error, with its own exit code."""
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    said = next((line.removeprefix("error: ") for line in lines if line.startswith("error: ")), None)
    error = Unavailable(said or f"the driver ended at once with exit code {code}", hint=f"see {log}")
    error.exit_code = code
    return error
