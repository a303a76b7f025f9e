"""Cluster profiles: what a job asks of a cluster, as TOML. Found by name or given as a path."""

from __future__ import annotations

import os
import re
import tomllib
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Literal

from pydantic import Field, PrivateAttr, ValidationError, model_validator

from campaign.errors import InvalidValue, UnknownName, nearest
from campaign.registry import PROFILES, Options, load, names

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class WorkerJob(Options):
    """A job that holds workers: `[worker]`."""

    nodes: int = Field(1, ge=1, description="nodes of an MPI job; other jobs take one node each")
    workers: int = Field(1, ge=1, description="worker processes per node")
    cpus: int = Field(1, ge=1, description="processors a worker")
    memory_mb: int | None = Field(None, ge=1, description="memory per worker [MB]; default: the cluster's")
    gpus: int = Field(0, ge=0, description="GPUs a node")
    workers_per_gpu: int = Field(1, ge=1, description="workers that share a GPU")
    time_s: int = Field(3600, ge=60, description="walltime of a job [s]")
    directives: list[str] = Field(default_factory=list, description="further options of sbatch (qsub, bsub)")
    _ranks: int = PrivateAttr(1)

    def with_gangs(self, ranks: int) -> WorkerJob:
        """The job of workers each of which leads a gang of `ranks` processes (`ranks_per_block` of an execution)."""
        job = self.model_copy()
        job._ranks = ranks
        return job

    @property
    def ranks(self) -> int:
        """Processes that a worker is: more than one where it leads a gang."""
        return self._ranks

    @property
    def n_processors(self) -> int:
        """Processors of a node's workers: each process of a gang has a worker's `cpus`."""
        return self.cpus * self.workers * self.ranks

    @property
    def total_memory_mb(self) -> int | None:
        """Memory of a node's workers [MB]: each process of a gang has a worker's `memory_mb`."""
        return self.memory_mb and self.memory_mb * self.workers * self.ranks


class DriverJob(Options):
    """The job of a detached driver, or of a scheduler: `[driver]`. What it does not give is the profile's."""

    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    python: str | list[str] | None = None
    prologue: list[str] | None = None
    cpus: int = Field(1, ge=1)
    memory_mb: int | None = Field(2000, ge=1)
    time_s: int = Field(86400, ge=60)
    directives: list[str] = Field(default_factory=list)


class Profile(Options):
    """A cluster, as far as jobs need to know it.

    Strings go into job scripts as they are: whoever may edit a profile may run programs, as with any job script.
    """

    description: str = ""
    system: Literal["slurm", "pbs", "lsf", "sge"] = "slurm"
    partition: str | None = Field(None, description="partition or queue")
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    interface: str | None = Field(
        None, description="network interface between nodes, such as `ib0`; default: the host's address"
    )
    device: Literal["gpu", "cpu", "any"] | None = Field(
        None, description="device that blocks must run on; default: a GPU if the job has any"
    )
    python: str | list[str] | None = Field(
        None,
        description="command that runs Python on the nodes, such as that of a container; default: this Python's path",
    )
    isa: Literal["sse4_2", "avx", "avx2", "avx512"] | None = Field(
        None, description="newest instruction set that XLA may use on CPUs: the same bits on all CPUs that have it"
    )
    detach: Literal["job", "process"] = Field(
        "job", description="what a detached driver is: a job, or a process on the login node"
    )
    prologue: list[str] = Field(default_factory=list, description="lines of shell before the command")
    local_folder: str | None = Field(None, description="node-local scratch; default: TMPDIR")
    mpi: list[str] | None = Field(None, description="launcher of MPI ranks; {n} is their number")
    max_jobs: int = Field(16, ge=1, description="worker jobs at a time")
    worker: WorkerJob = Field(default_factory=WorkerJob)  # pyright: ignore[reportArgumentType]
    driver: DriverJob = Field(default_factory=DriverJob)  # pyright: ignore[reportArgumentType]

    @model_validator(mode="after")
    def _own_directives(self) -> Profile:
        """Options of sbatch that a job must not have from elsewhere, since we find, stop and number jobs by them."""
        for table, job in (("worker", self.worker), ("driver", self.driver)):
            for directive in job.directives if self.system == "slurm" else ():
                if (option := option_of(directive)) in RESERVED:
                    raise ValueError(
                        f"`{table}.directives`, `{directive}`: `--{option}` is set by campaign; leave it out"
                    )
        return self


RESERVED = ("array", "job-name", "output", "signal")
_SHORT = {
    "a": "array", "A": "account", "c": "cpus-per-task", "C": "constraint", "G": "gpus", "J": "job-name",
    "n": "ntasks", "N": "nodes", "o": "output", "p": "partition", "q": "qos", "t": "time", "w": "nodelist",
    "x": "exclude",
}  # fmt: skip


def option_of(directive: str) -> str:
    """The long name of the option of sbatch that a directive gives: ``-p gpu`` → "partition"."""
    if directive.startswith("--"):
        return re.split(r"[=\s]", directive[2:], maxsplit=1)[0]
    return _SHORT.get(directive[1:2], directive[1:2])


def profile_folder() -> Path:
    """Where the shipped profiles lie."""
    return shipped_folder() / "profiles"


@cache
def shipped_folder() -> Path:
    """The `slurm` folder: inside the installed package, or beside the sources."""
    installed = Path(str(files("campaign"))) / "slurm"
    return installed if installed.is_dir() else Path(__file__).parents[4] / "slurm"


def _user_folder() -> Path:
    return Path(os.environ.get("XDG_CONFIG_HOME", Path.home() / ".config")) / "campaign" / "profiles"


def profile_names() -> tuple[str, ...]:
    """Names that `load_profile` knows: the user's own, plug-ins', shipped."""
    found = {p.stem for folder in (_user_folder(), profile_folder()) for p in folder.glob("*.toml")}
    return tuple(sorted(found | set(names(PROFILES))))


def load_profile(name: str) -> Profile:
    """A profile by name, or by the path of its TOML file.

    Raises:
        UnknownName: no such profile, with the nearest name.
        InvalidValue: the file is not TOML, or a value in it is not valid; where, the value, what is valid.
    """
    if name.endswith(".toml"):
        return _read(Path(name))
    for folder in (_user_folder(), profile_folder()):
        if _NAME.fullmatch(name) and (folder / f"{name}.toml").is_file():
            return _read(folder / f"{name}.toml")
    if name in names(PROFILES):
        return Profile(**load(PROFILES, name))
    raise UnknownName(
        f"unknown cluster profile `{name}`",
        hint=f"{nearest(name, profile_names())} Own profiles: {_user_folder()}/<name>.toml, or give a path.",
    )


def _read(path: Path) -> Profile:
    try:
        return Profile(**tomllib.loads(path.read_text()))
    except FileNotFoundError as error:
        raise UnknownName(
            f"no profile file {path}",
            hint=f"give the path of one, or a name: {', '.join(f'`{n}`' for n in profile_names())}",
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise InvalidValue(f"{path} is not TOML: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        table = {"worker": WorkerJob, "driver": DriverJob}.get(place.partition(".")[0], Profile)
        if first["type"] == "extra_forbidden":
            hint = nearest(place.rsplit(".", 1)[-1], table.model_fields)
            raise InvalidValue(f"{path}, `{place}`: unknown key", hint=hint) from error
        raise InvalidValue(f"{path}, `{place}`: {first['msg']} (value {first.get('input')!r})") from error
