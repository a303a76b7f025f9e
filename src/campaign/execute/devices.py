"""What a worker process may use of its machine: processors and GPUs, as environment set before JAX starts."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from campaign.errors import InvalidValue

DEVICE = "CAMPAIGN_DEVICE"  # environment of a worker: "gpu" or "cpu", what its blocks must run on; unset: anything
ANY = "any"  # device: whatever JAX finds
CUDA, ROCM = "CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"  # environment of a process: its GPUs, by maker


def n_processors() -> int:
    """Processors that this process may use: its affinity, not the machine's count."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def gpu_variable() -> str:
    """The variable that names this process's GPUs: AMD's where a cluster has set that one alone."""
    return ROCM if ROCM in os.environ and CUDA not in os.environ else CUDA


def visible_gpus() -> tuple[str, ...]:
    """GPUs that this process may use, as `gpu_variable` names them; found without touching a driver."""
    named = os.environ.get(gpu_variable())
    if named is not None:
        return tuple(g.strip() for g in named.split(",") if g.strip() and g.strip() != "-1")
    if os.environ.get("JAX_PLATFORMS", "").startswith("cpu"):
        return ()
    return tuple(sorted((p.name[6:] for p in Path("/dev").glob("nvidia[0-9]*")), key=int))


def thread_environment(threads: int) -> dict[str, str]:
    """Variables that keep NumPy, OpenMP and XLA to `threads` threads."""
    if threads < 1:
        raise InvalidValue(f"{threads} threads a worker", hint="at least 1")
    text = str(threads)
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NPROC", "PJRT_NPROC")
    return dict.fromkeys(names, text)


def isa_flag(isa: str) -> str:
    """XLA's flag for the newest instructions that it may use on a CPU: "avx2" → ``--xla_cpu_max_isa=AVX2``."""
    return f"--xla_cpu_max_isa={isa.upper()}"


def isa_environment(isa: str | None) -> dict[str, str]:
    """Variables that keep XLA to an instruction set; the flags that are set already stay."""
    flags = os.environ.get("XLA_FLAGS", "")
    return {} if isa is None or isa_flag(isa) in flags else {"XLA_FLAGS": f"{flags} {isa_flag(isa)}".strip()}


def gpu_environment(gpu: str, sharers: int) -> dict[str, str]:
    """Variables that give a process one GPU, or its share of it."""
    environment = {gpu_variable(): gpu}
    if sharers > 1:  # each preallocates its part; 0.9 leaves room for contexts
        environment["XLA_PYTHON_CLIENT_MEM_FRACTION"] = f"{0.9 / sharers:.3f}"
    return environment


def device_environment(device: str) -> dict[str, str]:
    """Variables that ask for a kind of device: "gpu" (an error if there is none), "cpu", or "any"."""
    if device == ANY:
        return {}
    return {DEVICE: device} | ({"JAX_PLATFORMS": "cpu"} if device == "cpu" else {})


def worker_environments(
    n_workers: int, *, threads: int | None = None, gpus: Sequence[str] = (), sharers: int = 1, device: str | None = None
) -> list[dict[str, str]]:
    """Environment of each worker of one machine: worker i gets GPU i // sharers.

    Args:
        n_workers: processes.
        threads: of each; None shares out the processors.
        gpus: to hand out; empty means processors only.
        sharers: workers a GPU.
        device: "gpu" or "cpu": what JAX must compute on; "any": whatever it finds. None: "gpu" where there are some.

    Raises:
        InvalidValue: more workers than the GPUs have places.
    """
    if gpus and n_workers > len(gpus) * sharers:
        raise InvalidValue(
            f"{n_workers} workers for {len(gpus)} GPU{'s' * (len(gpus) > 1)} with {sharers} a GPU",
            hint=f"at most {len(gpus) * sharers}; raise `workers_per_gpu` to share a GPU",
        )
    each = threads or max(1, n_processors() // n_workers)
    environments = []
    for i in range(n_workers):
        environment = thread_environment(each)
        if gpus:
            environment |= gpu_environment(gpus[i // sharers], sharers)
        environment |= device_environment(device or ("gpu" if gpus else ANY))
        environments.append(environment)
    return environments
