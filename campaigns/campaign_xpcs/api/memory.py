"""Memory of this machine and of a fit, and how much of it may be used. No JAX.

Gigabytes are 10⁹ bytes, as in the document; the rule of homodyne 2.23 counts in GiB.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path

from campaign.science import InvalidValue

GB = 1e9
GIB = float(1 << 30)
DEFAULT_FRACTION = 0.75  # of the memory that a fit may use
LEAST_FRACTION, MOST_FRACTION = 0.1, 0.9
FRACTION_VARIABLE = "NLSQ_MEMORY_FRACTION"
FALLBACK_BYTES = 16e9  # where neither psutil nor sysconf tells
JACOBIAN_OVERHEAD = 6.5  # the document's copies of J: 1 base, 2 derivatives, 1.5 padding, 1.5 buffers, 0.5 optimiser
_CGROUP = Path("/sys/fs/cgroup")
_UNLIMITED = 1 << 60  # cgroup v1 spells "no limit" as a huge number


def memory_fraction(given: float | None = None) -> tuple[float, str]:
    """The fraction of memory that a fit may use, between 0.1 and 0.9, and where it comes from.

    Args:
        given: the caller's; None: the environment variable NLSQ_MEMORY_FRACTION, or 0.75.

    Raises:
        InvalidValue: the variable or the value is no number.
    """
    source, value = "given", given
    if value is None:
        text = os.environ.get(FRACTION_VARIABLE)
        if text is None:
            return DEFAULT_FRACTION, "default"
        source = f"${FRACTION_VARIABLE}"
        try:
            value = float(text)
        except ValueError as error:
            hint = f"a number between {LEAST_FRACTION:g} and {MOST_FRACTION:g}"
            raise InvalidValue(f"{FRACTION_VARIABLE} is {text!r}", hint=hint) from error
    if not math.isfinite(value):
        raise InvalidValue(f"the memory fraction is {value} ({source})", hint="0.1 to 0.9")
    clamped = min(max(value, LEAST_FRACTION), MOST_FRACTION)
    return clamped, source if clamped == value else f"{source}: {value:g}, clamped to {clamped:g}"


def total_memory() -> tuple[float, str]:
    """Bytes of memory that the machine has, and who says so: psutil, sysconf, or the fallback of 16 GB."""
    for name, read in (("psutil", _psutil_total), ("sysconf", _sysconf_total)):
        try:
            return float(read()), name
        except (ImportError, OSError, ValueError, AttributeError):
            continue
    return FALLBACK_BYTES, "fallback"


def available_memory(cgroup: Path = _CGROUP) -> tuple[float, str]:
    """Bytes of memory that this process may still take: the least of what is free and what its cgroup leaves."""
    try:
        import psutil

        free, source = float(psutil.virtual_memory().available), "psutil"
    except (ImportError, OSError):
        free, source = total_memory()
    limit = cgroup_headroom(cgroup)
    return (limit, "cgroup") if limit is not None and limit < free else (free, source)


def cgroup_headroom(folder: Path = _CGROUP) -> float | None:
    """What the cgroup's limit leaves [bytes]; None where there is no limit."""
    files = (("memory.max", "memory.current"), ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"))
    for limit_name, used_name in files:
        limit, used = _number(folder / limit_name), _number(folder / used_name)
        if limit is not None and limit < _UNLIMITED:
            return max(limit - (used or 0.0), 0.0)
    return None


def peak_memory_document(n_points: int, n_params: int, *, unit: float = GB) -> float:
    """Peak memory of a fit with a dense Jacobian [GB, or GiB with `unit`], by the document's formula.

    n_points · n_params · 8 bytes · 6.5.

    Checked: tests/unit/xpcs/api/test_xpcs_memory.py, 23 million points and 53 parameters: 63.4 GB (59.0 GiB).
    """
    checked_size(n_points, n_params)
    return n_points * n_params * 8 * JACOBIAN_OVERHEAD / unit


def index_memory(n_points: int, *, unit: float = GB) -> float:
    """Memory of an index of all points, 8 bytes each [GB, or GiB with `unit`]."""
    return n_points * 8 / unit


def checked_size(n_points: int, n_params: int) -> None:
    for name, value in (("n_points", n_points), ("n_params", n_params)):
        if value < 1:
            raise InvalidValue(f"`{name}` is {value}", hint="at least 1")


def _psutil_total() -> float:
    import psutil

    return psutil.virtual_memory().total


def _sysconf_total() -> float:
    read: Callable[[str], int] = os.sysconf
    return read("SC_PAGE_SIZE") * read("SC_PHYS_PAGES")


def _number(path: Path) -> float | None:
    try:
        return float(path.read_text("ascii"))
    except (OSError, ValueError):  # no such file, or "max"
        return None
