"""A decay that is measured with a detector that saturates: plain Python, with an `if`."""

import math
from typing import Annotated

from campaign.problem.data import columns
from campaign.problem.python import PythonModel
from campaign.registry import DataFile
from campaign.space import Parameter

PARAMETERS = [
    Parameter(name="amplitude", initial=1.0, lower=0.0, unit="V"),
    Parameter(name="rate", initial=1.0, lower=0.0, unit="1/s"),
    Parameter(name="offset", initial=0.0, unit="V"),
]


def signal(times, parameters):
    """The signal [V] at the times [s]."""
    values = []
    for time in times:
        value = parameters["amplitude"] * math.exp(-parameters["rate"] * time) + parameters["offset"]
        if value > 2.6:
            value = 2.6
        values.append(value)
    return values


def decay(data: Annotated[str, DataFile()] = "decay.csv"):
    """Amplitude, rate and offset of a decay. The arguments are the options of the problem in the manifest."""
    time, measured, error = columns(data, "time", "signal", "error")
    return PythonModel(signal, PARAMETERS, x=time, data=measured, sigma=error, timeout_s=10.0)


decay.version = "1"  # raise it when the numbers change: it is part of the run ids
