"""Options of `consensus`. Imports no JAX."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field

from campaign.registry import Options, Structural
from campaign.space import Parameter, ThetaSpace


class Coordinate(Options):
    """In which coordinate members are taken as Gaussian."""

    transform: str = Field("identity", description="identity, log (positive), logit (between the bounds)")
    lower: float | None = Field(None, description="bound of the parameter; null: none")
    upper: float | None = Field(None, description="bound of the parameter; null: none")
    unit: str = Field("", description="as a person writes it")


class ConsensusOptions(Options):
    """Options of `consensus`."""

    parameters: dict[str, Coordinate] = Field(min_length=1, description="parameter of all members: its coordinate")
    members: int | None = Field(None, ge=1, description="how many there should be; null: those that ended ok")
    skip: int = Field(0, ge=0, description="recorded steps at the beginning of each chain that are left out")
    max_rhat: Annotated[float, Structural()] = Field(1.1, gt=1, description="a member above it does not count")
    min_ess: Annotated[float, Structural()] = Field(400.0, gt=0, description="effective draws that a member needs")
    max_divergent: Annotated[float, Structural()] = Field(
        0.1, ge=0, le=1, description="part of a member's draws that may have diverged"
    )
    min_kept: Annotated[float, Structural()] = Field(
        0.9, gt=0, le=1, description="part of the members that must count, else the run fails"
    )


def consensus_space(options: ConsensusOptions) -> ThetaSpace:
    """The parameters; they start in the middle."""
    return ThetaSpace(tuple(_parameter(name, own) for name, own in options.parameters.items()))


def _parameter(name: str, own: Coordinate) -> Parameter:
    lower = (0.0 if own.transform == "log" else -math.inf) if own.lower is None else own.lower
    upper = math.inf if own.upper is None else own.upper
    middle = 0.5 * (lower + upper)
    if not math.isfinite(middle):
        middle = lower + 1.0 if math.isfinite(lower) else upper - 1.0 if math.isfinite(upper) else 0.0
    return Parameter(name=name, initial=middle, unit=own.unit, lower=lower, upper=upper, transform=own.transform)
