"""Models of the same curve in several languages, for `test_any_model`. Row 10k + 3 raises, row 50k + 7 hangs."""

import math
import os
import time
from pathlib import Path
from typing import Annotated

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from campaign.problem.base import Problem
from campaign.problem.external import ExternalProgram
from campaign.problem.python import PythonModel
from campaign.problem.umbridge import UmbridgeModel
from campaign.registry import Varying
from campaign.space import Parameter, ThetaSpace

TIMES = np.linspace(0.0, 4.0, 12)
SPACE = ThetaSpace(
    (
        Parameter(name="amplitude", initial=1.5, lower=0.0, upper=10.0, scale=0.1),
        Parameter(name="rate", initial=1.0, lower=0.0, upper=5.0, scale=0.1),
    )
)
Row = Annotated[int, Varying()]
SIGMA = 0.05
TIMEOUT_S = float(os.environ.get("ANY_MODEL_TIMEOUT", "4"))


def measured(row):
    noise = np.random.default_rng(row).standard_normal(len(TIMES))
    return 2.0 / (1.0 + 0.8 * TIMES) + SIGMA * noise


def misbehave(row):
    if row % 10 == 3:
        raise ValueError(f"row {row} is bad")
    if row % 50 == 7:
        time.sleep(1e6)


class Curve(Problem):
    space: ThetaSpace = eqx.field(static=True)
    data: np.ndarray

    def residuals(self, theta):
        return (theta[0] / (1.0 + theta[1] * TIMES) - self.data) / SIGMA


def in_jax(row: Row = 0) -> Curve:
    return Curve(SPACE, jnp.asarray(measured(row)))


def in_numpy(row: Row = 0) -> Problem:
    def curve(times, parameters):
        misbehave(row)
        return parameters["amplitude"] / (1.0 + parameters["rate"] * times)

    return PythonModel(curve, SPACE, x=TIMES, data=measured(row), sigma=SIGMA, timeout_s=TIMEOUT_S)


def batched(row: Row = 0) -> Problem:
    def curve(theta):
        misbehave(row)
        return theta[:, :1] / (1.0 + theta[:, 1:] * TIMES)

    return PythonModel(curve, SPACE, call="array", batched=True, data=measured(row), sigma=SIGMA, timeout_s=TIMEOUT_S)


def with_if(row: Row = 0) -> Problem:
    def curve(parameters):
        misbehave(row)
        if parameters["rate"] < 0:
            return [math.nan] * len(TIMES)
        return [parameters["amplitude"] / (1.0 + parameters["rate"] * t) for t in TIMES.tolist()]

    return PythonModel(curve, SPACE, data=measured(row), sigma=SIGMA, timeout_s=TIMEOUT_S)


def program(command: list[str], row: Row = 0) -> Problem:
    words = [*command, "{amplitude}", "{rate}", str(row)]
    return ExternalProgram(words, SPACE, data=measured(row), sigma=SIGMA, timeout_s=TIMEOUT_S)


def umbridge(url: str, row: Row = 0) -> Problem:
    return UmbridgeModel(url, "curve", SPACE, config={"row": row}, data=measured(row), sigma=SIGMA, timeout_s=TIMEOUT_S)


C_SOURCE = r"""
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
int main(int n, char **words) {
  double amplitude = atof(words[1]), rate = atof(words[2]);
  int row = atoi(words[3]);
  if (row % 10 == 3) { fprintf(stderr, "row %d is bad\n", row); return 3; }
  if (row % 50 == 7) for (;;) pause();
  for (int i = 0; i < 12; i++) { double t = i * (4.0 / 11.0); printf("%.17g\n", amplitude / (1.0 + rate * t)); }
  return 0;
}
"""

SCRIPT = """
import sys, time
amplitude, rate, row = float(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
if row % 10 == 3:
    sys.exit(f"row {row} is bad")
if row % 50 == 7:
    time.sleep(1e6)
for i in range(12):
    print(repr(amplitude / (1.0 + rate * (i * (4.0 / 11.0)))))
"""


def answer(path, request):
    """What a UM-Bridge server with the model `curve` answers."""
    if path == "/Info":
        return {"protocolVersion": 1.0, "models": ["curve"]}
    if path == "/InputSizes":
        return {"inputSizes": [2]}
    if path == "/OutputSizes":
        return {"outputSizes": [len(TIMES)]}
    if path == "/ModelInfo":
        return {"support": {"Evaluate": True, "Gradient": False, "ApplyJacobian": True, "ApplyHessian": False}}
    (amplitude, rate), row = request["input"][0], request["config"]["row"]
    try:
        misbehave(row)
    except ValueError as error:
        return {"error": {"type": "InvalidInput", "message": str(error)}}
    if path == "/Evaluate":
        return {"output": [(amplitude / (1.0 + rate * TIMES)).tolist()]}
    da, dr = request["vec"]
    return {"output": (da / (1.0 + rate * TIMES) - dr * amplitude * TIMES / (1.0 + rate * TIMES) ** 2).tolist()}


FILE = Path(__file__)
