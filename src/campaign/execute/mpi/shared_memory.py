"""What killed MPI ranks leave in shared memory, and why the next ones must not find it.

MPICH (seen with 5.0.2) names the memory that the ranks of a node share after the world, under SLURM's pmi2 after job
and step. Killed ranks leave it behind. A job that is requeued begins again with step 0: on the same node its ranks
would take the memory of the dead for their own, and wait for them for ever. So every rank looks before it starts MPI.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Mapping
from pathlib import Path

FOLDER = Path("/dev/shm")  # where POSIX shared memory lives on Linux; local to the node


def forget_the_dead(
    born: float | None = None, *, environment: Mapping[str, str] = os.environ, folder: Path = FOLDER
) -> list[Path]:
    """Remove shared memory under this world's name that is older than the world. Does nothing outside of SLURM's pmi2.

    Args:
        born: when the world began on this node [s of the epoch]; None: when this process's parent did, which is SLURM's
            step daemon. A living rank of the same world cannot have made its memory before that.
        environment: of a rank.
        folder: of the node's shared memory.

    Returns:
        What was removed.
    """
    if not {"SLURM_JOB_ID", "SLURM_STEP_ID", "PMI_RANK"} <= environment.keys():
        return []
    step = f"{environment['SLURM_JOB_ID']}.{environment['SLURM_STEP_ID']}"
    names = [_fnv1a(step), _fnv1a(f"{step}-1")]  # of MPICH 5.0, and of what follows it
    found = [path for name in names for kind in ("shm", "vci") for path in folder.glob(f"mpich_{kind}_{name}_*")]
    return [path for path in found if _removed(path, _parent_born() if born is None else born)]


def _removed(path: Path, born: float) -> bool:
    """Remove a file if it is ours and older than `born`. Of ranks that try at once, one does: the lock is on the file
    itself, and a new file under the same name is another file."""
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            held, there = os.fstat(descriptor), os.stat(path, follow_symlinks=False)
            if held.st_uid == os.geteuid() and held.st_ctime < born and os.path.samestat(held, there):
                path.unlink()
                return True
        finally:
            os.close(descriptor)
    return False


def _parent_born() -> float:
    import psutil

    return psutil.Process(os.getppid()).create_time()


def _fnv1a(text: str) -> str:
    """The 32-bit FNV-1a hash, as MPICH writes it. Source: draft-eastlake-fnv; "" → 811c9dc5, "a" → e40c292c."""
    value = 2166136261
    for byte in text.encode():
        value = (value ^ byte) * 16777619 & 0xFFFFFFFF
    return f"{value:x}"
