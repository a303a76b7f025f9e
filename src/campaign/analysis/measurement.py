"""A measured number as people write it: with its error, to the digits that matter."""

from __future__ import annotations

import math

_LARGE, _SMALL = 1e6, 1e-4  # beyond these a power of ten is split off


def measurement(value: float | None, error: float | None = None, unit: str = "") -> str:
    """A value with the digits that matter.

    The error has two significant digits and the value ends at the same place: ``68.64 ± 0.42 km/s/Mpc``,
    ``(1.204 ± 0.013)e-07``. Without an error: six significant digits.
    """
    tail = f" {unit}" if unit else ""
    if value is None or not math.isfinite(value):
        return "undetermined"
    if error is None or not math.isfinite(error) or error <= 0:
        return f"{value:.6g}{tail}"
    size = max(abs(value), error)
    if not _SMALL <= size < _LARGE:
        power = math.floor(math.log10(size))
        factor = 10.0**-power
        return f"({_matched(value * factor, error * factor)})e{power:+03d}{tail}"
    return f"{_matched(value, error)}{tail}"


def _matched(value: float, error: float) -> str:
    """Value and error to the second significant digit of the error."""
    places = 1 - math.floor(math.log10(error))
    if round(error, places) >= 10.0 ** (2 - places):  # 0.0996 rounds up to 0.10: one digit fewer
        places -= 1
    shown = max(places, 0)
    return f"{round(value, places):.{shown}f} ± {round(error, places):.{shown}f}"
