"""A driver in the background: its own session, its talk in `logs/`, alive before we return."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from campaign.cli.output import write, write_json
from campaign.errors import CampaignError, Unavailable
from campaign.store.layout import Layout

if TYPE_CHECKING:
    from campaign.manifest.model import Execution, Manifest

_START_S = 60.0  # to import, plan and take the lease


def detach_submit(
    manifest: Path,
    directory: str | None,
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
    from campaign.schedule.check import open_manifest
    from campaign.store.claim import check_directory, make_root, root_of

    opened = open_manifest(manifest)  # findings are shown here, not in a log file
    root = root_of(directory, opened.name)
    check_directory(root, opened.name)
    make_root(root)
    arguments = ["submit", str(manifest.resolve()), "-d", str(root.resolve()), *_options(executor, workers, profile)]
    if not _as_job("submit", opened, arguments, root.resolve(), executor, profile, as_json):
        _start("submit", arguments, root.resolve(), as_json)


def driver_job_script(
    opened: Manifest,
    manifest: Path,
    root: Path,
    execution: Execution,
    executor: str | None,
    workers: int | None,
    profile: str | None,
) -> str | None:
    """The script that `submit --detach` would hand to the cluster; None where the driver would be no job."""
    from campaign.execute.catalogue import cluster_profile
    from campaign.execute.detach import driver_script, wants_job

    if not wants_job(execution):
        return None
    arguments = ["submit", str(manifest.resolve()), "-d", str(root.resolve()), *_options(executor, workers, profile)]
    layout = Layout(root.resolve())
    return driver_script(layout, opened.name, cluster_profile(execution), arguments, executor=execution.executor)


def detach_resume(
    directory: str, executor: str | None, workers: int | None, profile: str | None, *, as_json: bool
) -> None:
    """Start `campaign resume` in the background. Raises as `detach_submit`."""
    from campaign.manifest.load import loads
    from campaign.store.claim import read_identity

    root = Path(directory).resolve()
    identity, layout = read_identity(Layout(root)), Layout(root)
    manifest = loads(layout.manifest.read_bytes(), folder=identity.folder, source=str(layout.manifest))
    arguments = ["resume", str(root), *_options(executor, workers, profile)]
    if not _as_job("resume", manifest, arguments, root, executor, profile, as_json):
        _start("resume", arguments, root, as_json)


def _as_job(
    name: str,
    manifest: Manifest,
    arguments: list[str],
    root: Path,
    executor: str | None,
    profile: str | None,
    as_json: bool,
) -> bool:
    """Submit the driver as a job of the cluster; False where the executor is not one of a cluster's."""
    from campaign.execute.catalogue import cluster_profile
    from campaign.execute.detach import driver_script, submit_driver, wants_job

    execution = manifest.execution_for(profile)
    execution = execution.model_copy(update={"executor": executor} if executor else {})
    if not wants_job(execution):
        return False
    layout, cluster = Layout(root), cluster_profile(execution)
    job = submit_driver(layout, driver_script(layout, manifest.name, cluster, arguments, executor=execution.executor))
    log = layout.log(f"driver-{job}")
    if as_json:
        write_json(name, {"detached": True, "job": job, "directory": str(root), "log": str(log)})
    else:
        write(f"job {job} drives {root}")
        write(f"log     {log}")
        write(f"next: campaign watch {root}")
        write(f"      campaign cancel {root}")
    return True


def _options(executor: str | None, workers: int | None, profile: str | None) -> list[str]:
    given = (("--executor", executor), ("--workers", workers), ("--profile", profile))
    return [part for name, value in given if value is not None for part in (name, str(value))]


def _start(name: str, arguments: list[str], root: Path, as_json: bool) -> None:
    from campaign.store.lease import holder

    layout = Layout(root)
    before = holder(layout)
    layout.logs.mkdir(parents=True, exist_ok=True)
    log = layout.log(f"driver-{time.time_ns():x}")
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "campaign", *arguments],
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
        if is_ours or code == 0 or (before is None and current is not None):
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
