"""Executors by name. What an executor needs is imported when it is asked for, not before."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ValidationError

from campaign.errors import InvalidValue, UnknownName, nearest
from campaign.execute.base import AbstractExecutor
from campaign.registry import Options

if TYPE_CHECKING:
    from campaign.execute.queue.profiles import Profile
    from campaign.manifest.model import Execution


def shares(execution: Execution) -> dict[str, int | None]:
    """Workers of this machine and threads of each. Gangs need `ranks_per_block` times as many processors."""
    ranks = execution.ranks_per_block
    if ranks == 1:
        return {"workers": execution.workers, "threads": execution.threads}
    from campaign.execute.devices import n_processors

    workers = execution.workers or max(1, n_processors() // ranks)
    return {"workers": workers, "threads": execution.threads or max(1, n_processors() // (workers * ranks))}


class DaskOptions(Options):
    """`execution.options` of `dask` and `auto`."""

    gpus: list[str] | None = None
    workers_per_gpu: int = 1
    device: str | None = None
    start_s: float = 120.0
    dashboard: bool = False


class InlineOptions(Options):
    """`execution.options` of `inline`."""

    device: str | None = None


def _inline(execution: Execution) -> AbstractExecutor:
    from campaign.execute.local.inline import InlineExecutor

    return InlineExecutor(device=_options(execution, InlineOptions).device)


def _dask(execution: Execution) -> AbstractExecutor:
    options = _options(execution, DaskOptions)
    if execution.address is not None:
        from campaign.execute.dask.running import SchedulerExecutor

        if options.dashboard:
            raise InvalidValue(
                "/execution/options/dashboard beside /execution/address (value true)",
                hint="leave `dashboard` out: a running scheduler keeps the dashboard that its owner configured",
            )
        return SchedulerExecutor(execution.address, start_s=options.start_s)
    from campaign.execute.dask.forked import DaskExecutor

    return DaskExecutor(**shares(execution), **options.model_dump())


def _auto(execution: Execution) -> AbstractExecutor:
    from campaign.execute.devices import n_processors, visible_gpus
    from campaign.execute.local.auto import AutoExecutor

    options = _options(execution, DaskOptions)
    if options.device != "cpu" and visible_gpus():
        return _dask(execution)  # a driver that computed would keep a GPU's memory from its worker
    n = shares(execution)["workers"] or n_processors()
    return AutoExecutor(lambda: _dask(execution), n_workers=n, device=options.device)  # pyright: ignore[reportArgumentType]


class MpiOptions(Options):
    """`execution.options` of `mpi`."""

    workers_per_gpu: int = 1
    device: str | None = None
    launcher: str | list[str] = "auto"
    start_s: float = 180.0


def _mpi(execution: Execution) -> AbstractExecutor:
    from campaign.execute.mpi.launcher import world_rank

    _check_allocation(execution.ranks_per_block)
    options, isa, words = _options(execution, MpiOptions), None, None
    if execution.profile is not None:
        from campaign.execute.queue.scripts import python

        profile = cluster_profile(execution)
        isa, words = profile.isa, python(profile, profile.worker)
        if options.launcher == "auto":
            options = options.model_copy(update={"launcher": profile.mpi or "auto"})
    if world_rank() is not None:
        from campaign.execute.mpi.ranks import RankExecutor

        return RankExecutor()
    from campaign.execute.mpi.pool import MpiExecutor

    is_allotted = "SLURM_NTASKS" in os.environ  # else this machine's processors are shared out
    given = {"workers": execution.workers, "threads": execution.threads} if is_allotted else shares(execution)
    return MpiExecutor(**given, isa=isa, python=words, **options.model_dump())


def _check_allocation(ranks_per_block: int) -> None:
    """Raises InvalidValue in an allocation of SLURM whose tasks have fewer processors than a gang has processes."""
    n = int(os.environ.get("SLURM_CPUS_PER_TASK", "1"))
    if "SLURM_NTASKS" in os.environ and n < ranks_per_block:
        raise InvalidValue(
            f"/execution/ranks_per_block is {ranks_per_block}, and each task of this allocation has {n} "
            f"processor{'' if n == 1 else 's'}",
            hint=f"ask for `--cpus-per-task={ranks_per_block}` or more: a rank runs its gang on its own processors",
        )


class PilotOptions(Options):
    """`execution.options` of `dask-slurm`."""

    start_s: float = 90.0
    queue_s: float = 3.0
    scheduler: Literal["driver", "job"] = "driver"
    dashboard: bool = False


def _pilots(execution: Execution) -> AbstractExecutor:
    from campaign.execute.pilots.executor import PilotExecutor

    options = _options(execution, PilotOptions)
    return PilotExecutor(cluster_profile(execution), workers=execution.workers, **options.model_dump())


def _array(execution: Execution) -> AbstractExecutor:
    from campaign.execute.queue.array import ArrayExecutor

    _options(execution, Options)
    profile = cluster_profile(execution)
    if profile.system != "slurm":
        raise InvalidValue(
            f"executor `slurm-array` with the profile `{execution.profile}`, whose system is `{profile.system}`",
            hint="valid: `slurm`; for other systems `--executor dask-slurm` submits pilot jobs",
        )
    return ArrayExecutor(profile, workers=execution.workers)


def cluster_profile(execution: Execution) -> Profile:
    """The cluster profile that an execution names, with its walltime and its gangs.

    Raises:
        InvalidValue: it names none.
        UnknownName: there is no such profile.
    """
    from campaign.execute.queue.profiles import load_profile, profile_names

    if execution.profile is None:
        shown = ", ".join(f"`{name}`" for name in profile_names())
        raise InvalidValue(
            f"executor `{execution.executor}` needs a cluster profile at /execution/profile",
            hint=f"valid: {shown}, or the path of a TOML file",
        )
    profile = load_profile(execution.profile)
    worker = profile.worker.with_gangs(execution.ranks_per_block)
    if execution.walltime_s is not None:
        worker = worker.model_copy(update={"time_s": round(execution.walltime_s)})
    return profile.model_copy(update={"worker": worker})


_EXECUTORS: dict[str, Callable[[Execution], AbstractExecutor]] = {
    "auto": _auto,
    "inline": _inline,
    "dask": _dask,
    "dask-slurm": _pilots,
    "mpi": _mpi,
    "slurm-array": _array,
}


def executor_names() -> tuple[str, ...]:
    """Names that a manifest may give as `execution.executor`."""
    return tuple(_EXECUTORS)


_early: dict[str, AbstractExecutor] = {}


@contextlib.contextmanager
def starting_early(execution: Execution) -> Iterator[None]:
    """Let worker processes of this machine start while the caller plans; `make_executor` then hands them out."""
    if execution.executor != "dask" or execution.address is not None:
        yield
        return
    with make_executor(execution) as started:
        _early[execution.model_dump_json()] = started
        try:
            yield
        finally:
            _early.clear()


def make_executor(execution: Execution) -> AbstractExecutor:
    """The executor that a manifest asks for; not started yet, unless `starting_early` did.

    Raises:
        UnknownName: with the nearest name.
        InvalidValue: an option that it does not have.
    """
    make = _EXECUTORS.get(execution.executor)
    if make is None:
        raise UnknownName(
            f"unknown executor `{execution.executor}` at /execution/executor",
            hint=nearest(execution.executor, _EXECUTORS),
        )
    early = _early.pop(execution.model_dump_json(), None) if _early else None
    return early or make(execution)


def _options(execution: Execution, model: type[Options]) -> Any:
    try:
        return model(**execution.options)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        hint = nearest(name, model.model_fields) if first["type"] == "extra_forbidden" else None
        raise InvalidValue(
            f"/execution/options/{name} of executor `{execution.executor}`: {first['msg']} "
            f"(value {first.get('input')!r})",
            hint=hint,
        ) from error
