"""The weighted samples of a run of nested sampling."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from campaign.errors import InvalidValue

if TYPE_CHECKING:
    import pandas
    import xarray

FIELDS = ("theta", "log_likelihood", "log_likelihood_birth", "log_weight")


def weighted_samples(trace: xarray.Dataset) -> pandas.DataFrame:
    """All points of a run by ascending likelihood, those that died and the last live ones.

    Columns: the parameters; ``log_likelihood``; ``log_likelihood_birth``, the contour that the point was born at (NaN:
    drawn from the prior); ``log_weight`` = ln (L ΔX), whose exponentials add up to Z; ``weight``, which add up to 1.

    Args:
        trace: what ``campaign.open(directory).trace(run)`` gives.

    Raises:
        InvalidValue: the run is not of `nested`, or its stage recorded no trace.
    """
    import pandas

    missing = [name for field in FIELDS for name in (field, _live(field)) if name not in trace]
    if missing:
        raise InvalidValue(
            f"the run recorded no `{missing[0]}`", hint='weighted samples are of engine `nested` with `"trace": true`'
        )
    names = [str(name) for name in np.asarray(trace["parameter"])]
    columns = {}
    for field in FIELDS:
        dead, live = (np.asarray(trace[name], np.float64) for name in (field, _live(field)))
        columns[field] = np.concatenate([dead.reshape(-1, *live.shape[1:]), live])
    order = np.argsort(columns["log_likelihood"], kind="stable")
    frame = pandas.DataFrame(columns.pop("theta")[order], columns=pandas.Index(names))
    for name, values in columns.items():
        frame[name] = values[order]
    weight = np.exp(frame["log_weight"] - frame["log_weight"].max())
    frame["weight"] = weight / weight.sum()
    return frame


def _live(field: str) -> str:
    return "live" if field == "theta" else f"live_{field}"
