"""Series of an `scmdata.ScmRun`, or of what has its `timeseries()`: rows of variables, columns of times."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from campaign.science import InvalidValue


def series_of(run: Any, variables: Mapping[str, str] | None = None) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """variable → (years, values), (T,) each.

    Args:
        variables: what the model calls them → what `run` calls them; None takes them as they are.

    Raises:
        InvalidValue: a variable has more than one series, or none.
    """
    frame = run.timeseries()
    names = frame.index.get_level_values("variable")
    years = np.array([decimal_year(time) for time in frame.columns])
    found = {}
    for variable, own in (variables or {str(name): str(name) for name in dict.fromkeys(names)}).items():
        rows = np.flatnonzero(names == own)
        if len(rows) != 1:
            raise InvalidValue(
                f"the run has {len(rows)} series of `{own}`",
                hint="filter it to one, for example run.filter(variable=…, region='World')",
            )
        found[variable] = years, frame.iloc[rows[0]].to_numpy(np.float64)
    return found


def decimal_year(time: Any) -> float:
    """1850 for what scmdata has on 1 January 1850 0:00; a number stays what it is."""
    if isinstance(time, (int, float, np.number)):
        return float(time)
    start = time.replace(month=1, day=1, hour=0, minute=0, second=0, microsecond=0)
    return time.year + (time - start).total_seconds() / (365.25 * 86_400)
