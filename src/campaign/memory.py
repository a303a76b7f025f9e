"""Memory of this machine that a fit may use, and whether the rows of one fit in it. No JAX."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

BASE = 16e6  # bytes that a fit needs whatever its size; 10 to 13 MB measured
PER_NUMBER = 36.0  # bytes per row and parameter of `trf` with all rows at once; 34 measured, 23 of `varpro`
SHARE = 0.75  # of the free memory that a fit may take
_UNLIMITED = 1 << 60  # cgroup v1 writes a number near 2⁶³ where there is no limit


@dataclass(frozen=True, slots=True)
class FreeMemory:
    """Bytes that are free, and what says so."""

    bytes: float
    source: str


@dataclass(frozen=True, slots=True)
class RowPlan:
    """How the rows of a fit are held. Plans of one strategy are equal, whatever was free: a problem may carry one.

    Attributes:
        strategy: all rows at once, or block by block.
        predicted: peak bytes of the fit with all rows at once.
        reason: in words, with the numbers.
    """

    strategy: Literal["rows in memory", "row blocks"]
    predicted: float = field(compare=False)
    free: FreeMemory = field(compare=False)
    reason: str = field(compare=False)


def free_memory(root: Path = Path("/")) -> FreeMemory:
    """The least of what the machine has available and what each cgroup above this process has left.

    Args:
        root: where /proc and /sys are, for tests.

    Checked: tests/unit/test_memory.py.
    """
    import psutil

    found = [FreeMemory(float(psutil.virtual_memory().available), "the machine")]
    try:
        groups = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        groups = []
    for line in groups:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            found += _left(root / "sys/fs/cgroup", path, "memory.max", "memory.current")
            found += _left(root / "sys/fs/cgroup/unified", path, "memory.max", "memory.current")
        elif "memory" in controllers.split(","):
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes")
            found += _left(root / "sys/fs/cgroup/memory", path, *names)
    return min(found, key=lambda one: one.bytes)


def _left(mount: Path, path: str, limit: str, usage: str) -> list[FreeMemory]:
    """What is left to a group and to each above it; in a container the innermost may be mounted as the root."""
    place = mount / path.strip("/")
    found = []
    for group in [place, *place.parents]:
        if not group.is_relative_to(mount):
            break
        try:
            most, used = (group / limit).read_text().strip(), float((group / usage).read_text())
        except OSError:
            continue
        if most != "max" and float(most) < _UNLIMITED:
            found.append(FreeMemory(max(float(most) - used, 0.0), "its cgroup"))
    return found


def row_plan(
    n_rows: int,
    n_parameters: int,
    free: FreeMemory | None = None,
    share: float = SHARE,
    *,
    base: float = BASE,
    per_number: float = PER_NUMBER,
) -> RowPlan:
    """Whether a least-squares fit has all rows at once, or goes by row blocks.

    Its peak is predicted as base + per_number · rows · parameters: 16 MB and 36 bytes, both measured, for models that
    need little memory of their own. Row blocks take the same time, and about 13 MB.

    Args:
        n_parameters: free ones; with `varpro` the nonlinear ones and those of one group.
        free: None: as it is now.
        share: of the free memory that the fit may take.
        base, per_number: [bytes], where a model's own were measured.

    Checked: tests/unit/test_memory.py.
    """
    free = free_memory() if free is None else free
    predicted = base + per_number * n_rows * n_parameters
    fits = predicted <= share * free.bytes
    compared = "at most" if fits else "more than"
    reason = (
        f"{n_rows} rows and {n_parameters} parameters need about {predicted / 1e9:.3g} GB at once, "
        f"{compared} {share:g} of the {free.bytes / 1e9:.3g} GB that {free.source} has free"
    )
    return RowPlan("rows in memory" if fits else "row blocks", predicted, free, reason)
