"""Reference periods: years that anomalies are relative to."""

from __future__ import annotations

from typing import Any

from campaign.science import InvalidValue

Period = tuple[float, float]  # first and last year, both included


def checked_period(period: Any, where: str) -> Period:
    """The period as two numbers.

    Raises:
        InvalidValue: it ends before it starts.
    """
    start, end = (float(year) for year in period)
    if not start <= end:
        raise InvalidValue(f"the reference period of {where} ends in {end:g}, before it starts in {start:g}")
    return start, end
