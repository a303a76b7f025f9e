"""The reference problems: options, parameter spaces and plug-ins. Imports no JAX."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from campaign.problem.reference.consensus_options import ConsensusOptions, consensus_space
from campaign.problem.reference.nist_data import NIST_NAMES, read_nist
from campaign.registry import Options, ProblemPlugin, Structural, Varying
from campaign.space import Parameter, ThetaSpace


class GaussianOptions(Options):
    """Options of `gaussian`."""

    d: int = Field(2, ge=1, description="number of parameters")
    mean: float = Field(1.0, description="true mean of every parameter")
    correlation: float = Field(0.5, gt=-1, lt=1, description="correlation of neighbours; ρ^|i−j| between i and j")


def gaussian_moments(options: GaussianOptions) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance: sd_i = i+1 for i = 0 … d−1, C_ij = sd_i sd_j ρ^|i−j|."""
    sd = np.arange(1.0, options.d + 1)
    lag = np.abs(np.subtract.outer(np.arange(options.d), np.arange(options.d)))
    return np.full(options.d, options.mean), np.outer(sd, sd) * options.correlation**lag


def gaussian_space(options: GaussianOptions) -> ThetaSpace:
    return ThetaSpace(tuple(Parameter(name=f"x{i}", initial=0.0, scale=i + 1.0) for i in range(options.d)))


class CombineOptions(Options):
    """Options of `combine`."""

    parameters: list[str] = Field(min_length=1, description="the parameters that all members have")


def combine_space(options: CombineOptions) -> ThetaSpace:
    return ThetaSpace(tuple(Parameter(name=name, initial=0.0) for name in options.parameters))


class RosenbrockOptions(Options):
    """Options of `rosenbrock`."""

    d: int = Field(2, ge=2, description="number of parameters")
    steepness: float = Field(100.0, gt=0, description="height of the walls of the valley")


def rosenbrock_space(options: RosenbrockOptions) -> ThetaSpace:
    starts = [-1.2 if i % 2 == 0 else 1.0 for i in range(options.d)]
    return ThetaSpace(tuple(Parameter(name=f"x{i}", initial=start) for i, start in enumerate(starts)))


class DecayOptions(Options):
    """Options of `decay`. The true values make the data; fits start elsewhere."""

    n: int = Field(100, ge=1, description="number of data points")
    duration: Annotated[float, Structural()] = Field(10.0, gt=0, description="time of the last point [s]")
    sigma: float = Field(0.05, gt=0, description="error of a data point; 1 σ of the noise")
    data_seed: Annotated[int, Varying()] = Field(0, ge=0, lt=2**53, description="which noise")
    amplitude: float = Field(2.0, description="true amplitude")
    rate: float = Field(0.8, description="true rate [1/s]")
    offset: float = Field(0.5, description="true offset")
    drift: float = Field(0.02, description="true drift [1/s]")


def decay_space(options: DecayOptions) -> ThetaSpace:
    return ThetaSpace(
        (
            Parameter(name="amplitude", initial=1.0, scale=0.1),
            Parameter(name="rate", initial=1.0, scale=0.1, unit="1/s"),
            Parameter(name="offset", initial=0.0, scale=0.1),
            Parameter(name="drift", initial=0.0, scale=0.01, unit="1/s"),
        )
    )


class NistOptions(Options):
    """Options of `nist`."""

    dataset: str = Field(description=f"one of {', '.join(NIST_NAMES)}")
    start_point: Annotated[int, Varying()] = Field(
        2, ge=1, le=2, description="NIST's starting values: 1 is far, 2 is near"
    )


def nist_space(options: NistOptions) -> ThetaSpace:
    """b1 … bd at NIST's starting values."""
    data = read_nist(options.dataset)
    return ThetaSpace(
        tuple(
            Parameter(name=f"b{i + 1}", initial=float(value))
            for i, value in enumerate(data.starts[options.start_point - 1])
        )
    )


_HERE = "campaign.problem.reference"

GAUSSIAN = ProblemPlugin(
    name="gaussian",
    version="1",
    options=GaussianOptions,
    build=f"{_HERE}.gaussian:build",
    space=gaussian_space,
    description="correlated Gaussian in d dimensions, mean and covariance known",
)

COMBINE = ProblemPlugin(
    name="combine",
    version="1",
    options=CombineOptions,
    build=f"{_HERE}.combine:build",
    space=combine_space,
    gather=("theta.*", "covariance", "parameter"),
    description="fits of an earlier stage as one: their precision-weighted mean and its covariance",
)

CONSENSUS = ProblemPlugin(
    name="consensus",
    version="1",
    options=ConsensusOptions,
    build=f"{_HERE}.consensus:build",
    space=consensus_space,
    gather=("trace.theta", "metric.*", "parameter"),
    description="chains of an earlier stage, each of a part of the data, as one posterior: consensus Monte Carlo",
)

ROSENBROCK = ProblemPlugin(
    name="rosenbrock",
    version="1",
    options=RosenbrockOptions,
    build=f"{_HERE}.rosenbrock:build",
    space=rosenbrock_space,
    description="Rosenbrock valley in d dimensions, minimum 0 at (1, …, 1)",
)

DECAY = ProblemPlugin(
    name="decay",
    version="1",
    options=DecayOptions,
    build=f"{_HERE}.decay:build",
    build_many=f"{_HERE}.decay:build_many",
    space=decay_space,
    data=("n", "duration", "sigma", "data_seed", "amplitude", "rate", "offset", "drift"),
    description="exponential decay on a drifting background, four parameters, synthetic data",
)

NIST = ProblemPlugin(
    name="nist",
    version="1",
    options=NistOptions,
    build=f"{_HERE}.nist:build",
    space=nist_space,
    data=("dataset",),
    description="NIST StRD nonlinear regression, certified answers",
)
