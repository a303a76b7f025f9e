"""How MPI ranks are started here: the launcher that belongs to the MPI library, or SLURM's."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from campaign.errors import Unavailable

_RANK_VARIABLES = (("PMI_RANK", "PMI_SIZE"), ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"), ("PMIX_RANK", ""))


def world_rank(environment: Mapping[str, str] = os.environ) -> tuple[int, int] | None:
    """(rank, size) when this process was started as one of several MPI ranks; None otherwise. Starts no MPI."""
    for rank, size in _RANK_VARIABLES:
        if rank in environment:
            n = int(environment.get(size) or environment.get("SLURM_NTASKS", "1"))
            return (int(environment[rank]), n) if n > 1 else None
    return None


def launch_command(n_ranks: int, launcher: str | Sequence[str] = "auto") -> list[str]:
    """The command that starts `n_ranks` ranks of what follows it.

    Args:
        n_ranks: of the world.
        launcher: "auto" (`srun` inside a SLURM allocation, else `mpiexec`), "mpiexec", "srun", or a whole command
            line in which ``{n}`` is the number of ranks.

    Raises:
        Unavailable: the launcher is not installed.
    """
    if not isinstance(launcher, str):
        return [part.replace("{n}", str(n_ranks)) for part in launcher]
    if launcher == "auto":
        launcher = "srun" if "SLURM_JOB_ID" in os.environ and shutil.which("srun") else "mpiexec"
    if launcher == "srun":
        program = _find("srun")
        kind = "pmix" if _is_open_mpi() else "pmi2"
        return [program, "--kill-on-bad-exit=1", f"--mpi={kind}", f"--ntasks={n_ranks}", "--input=0", "--overlap"]
    return [_find("mpiexec"), "-n", str(n_ranks)]


def _find(program: str) -> str:
    """The program beside this Python, else on the path: an environment's own MPI comes with its own launcher."""
    beside = Path(sys.executable).with_name(program)
    found = str(beside) if beside.exists() else shutil.which(program)
    if found is None:
        raise Unavailable(
            f"`{program}` is not installed",
            hint="install an MPI (for one machine: `pip install mpich mpi4py`), or choose another executor",
        )
    return found


def _is_open_mpi() -> bool:
    """Which family mpi4py is linked with; asked in its own process, since asking starts MPI."""
    code = "import mpi4py; mpi4py.rc.initialize = False; from mpi4py import MPI; print(MPI.Get_library_version())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    if done.returncode:
        raise Unavailable(
            f"mpi4py cannot be used: {done.stderr.strip().splitlines()[-1] if done.stderr.strip() else 'no message'}",
            hint="install mpi4py and a matching MPI library",
        )
    return "open mpi" in done.stdout.lower()
