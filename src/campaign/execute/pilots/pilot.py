"""A pilot job: the workers of one node, for a scheduler somewhere else.

``python -m campaign.execute.pilots.pilot <scheduler> …``, inside a job. Address and keys come from the file that the
environment variable CAMPAIGN_PILOT names; only its owner can read it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from campaign.errors import Unavailable
from campaign.execute.dask.nursery import Hello, Nursery, preload
from campaign.execute.devices import visible_gpus, worker_environments
from campaign.execute.remote import PILOT_NAME
from campaign.execute.scratch import scratch
from campaign.execute.stopping import note_end_time
from campaign.store.atomic import storage_error, temporary_name
from campaign.store.records import dumps_pretty, read_json

PILOT = "CAMPAIGN_PILOT"  # environment of a pilot job: path of its `PilotFile`
GIVEN_UP = 6  # exit code: no worker could start


@dataclass(frozen=True, slots=True, kw_only=True)
class PilotFile:
    """What pilots need to know. Whoever can read it can run programs as its owner."""

    scheduler: str
    security: Mapping[str, Any]
    interface: str
    workers: int
    threads: int
    workers_per_gpu: int
    device: str | None
    local_folder: str | None
    sys_path: list[str] = field(default_factory=list)
    dashboard: str = ""  # host:port where the scheduler shows it

    def save(self, path: Path) -> None:
        """Write it for the owner's eyes only, by rename."""
        temporary = temporary_name(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(dumps_pretty(asdict(self)))
            os.replace(temporary, path)
        except OSError as error:
            raise storage_error(error) from error


def load_pilot_file(path: Path) -> PilotFile:
    """Read a pilot file.

    Raises:
        Unavailable: others than the owner can read it.
    """
    mode = path.stat().st_mode
    if mode & 0o077:
        raise Unavailable(
            f"{path} can be read by others (mode {mode & 0o777:o})", hint=f"remove it, it holds keys: rm {path}"
        )
    return PilotFile(**read_json(path))


def main() -> None:
    """Entry of a pilot job."""
    note_end_time()
    file = load_pilot_file(Path(os.environ[PILOT]))
    os.environ.update({"OPENBLAS_NUM_THREADS": "1"})
    preload()
    sys.path.extend(p for p in file.sys_path if p not in sys.path)
    gpus = () if file.device == "cpu" else visible_gpus()
    environments = worker_environments(
        file.workers, threads=file.threads, gpus=gpus, sharers=file.workers_per_gpu, device=file.device
    )
    with scratch(file.local_folder) as folder:
        hello = Hello(
            scheduler=file.scheduler,
            security=file.security,
            environments=environments,
            interface=file.interface,
            folder=folder,
            name=os.environ.get(PILOT_NAME, "pilot"),
        )
        nursery = Nursery(hello, has_driver=False)
        nursery.run()
    sys.exit(GIVEN_UP if nursery.n_given_up else 0)


if __name__ == "__main__":
    main()
