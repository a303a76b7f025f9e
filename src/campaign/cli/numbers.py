"""Numbers as people write them: a value with its error, counts, durations, bytes."""

from __future__ import annotations

import math

from campaign.analysis.measurement import measurement as measurement


def count(n: int) -> str:
    """12,345."""
    return f"{n:,}"


def duration(seconds: float | None) -> str:
    """35 ms, 4.2 s, 3 min 20 s, 5 h 02 min, 3 d 04 h."""
    if seconds is None or not math.isfinite(seconds):
        return "unknown"
    if 0 < seconds < 0.095:
        return f"{1e3 * seconds:.2g} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if hours == 0:
        return f"{minutes} min {whole % 60:02d} s"
    if days == 0:
        return f"{hours} h {minutes % 60:02d} min"
    return f"{days} d {hours % 24:02d} h"


def counted(n: int, noun: str) -> str:
    """1 run, 2,048 runs."""
    return f"{count(n)} {noun}{'' if n == 1 else 's'}"


def size(n_bytes: float) -> str:
    """Bytes with a decimal prefix: 12.3 MB."""
    value = float(n_bytes)
    for prefix in ("", "k", "M", "G", "T"):
        if value < 1000:
            return f"{value:.0f} B" if not prefix else f"{value:.3g} {prefix}B"
        value /= 1000
    return f"{value:.3g} PB"


def rate(per_second: float | None) -> str:
    """1,870 runs/s, or 3.2 runs/min when slow."""
    if per_second is None or not math.isfinite(per_second) or per_second <= 0:
        return "–"
    if per_second >= 10:
        return f"{per_second:,.0f} runs/s"
    if per_second >= 0.5:
        return f"{per_second:.1f} runs/s"
    return f"{per_second * 60:.2g} runs/min"
