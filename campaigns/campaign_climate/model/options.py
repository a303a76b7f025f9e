"""What a manifest may say about a calibration of the two-layer model. No JAX."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from campaign.science import DataFile, Options, Prior, Structural, ThetaSpace, Varying, parse_prior
from campaign_climate.data import forcing as forcings
from campaign_climate.data import observed as observations
from campaign_climate.data.forcing import Forcing
from campaign_climate.data.ranges import assessed
from campaign_climate.model.space import two_layer_space
from campaign_climate.physics.constants import OCEAN_FRACTION

ByVariable = dict[str, Annotated[float, Structural()]]


class TwoLayerOptions(Options):
    """Forcing, model, what it is compared with, and priors. Every one of them stands in every result."""

    forcing: str = Field(forcings.DEFAULT, description="forcing by name: igcc2024, ar6, ssp119, ssp245, ssp585")
    forcing_file: Annotated[str, DataFile()] | None = Field(
        None, description="CSV file with the columns time and total [W/m2], instead of `forcing`"
    )
    last_year: int | None = Field(None, description="the model ends with this year; null: with the forcing")
    solver: Literal["exact", "rk4"] = Field(
        "exact", description="exact needs a linear feedback; rk4 has the parameter `a`"
    )
    steps_per_year: int = Field(2, ge=1, le=1000, description="steps of rk4")
    ocean_fraction: Annotated[float, Structural()] = Field(
        OCEAN_FRACTION, gt=0, le=1, description="of the heat that goes into the ocean"
    )
    observations: list[str] = Field(
        ["gmst:hadcrut5", "ohc:igcc2024"], description="observed series by name; an empty list predicts only"
    )
    observation_files: list[Annotated[str, DataFile()]] = Field(
        [], description="CSV files with the columns variable, time, value, uncertainty"
    )
    until: int | None = Field(None, description="the last year of observations that is used; null: all")
    reference: dict[str, list[float] | None] = Field(
        {}, description="variable: [first, last] year whose mean is taken from model and data; null: absolute values"
    )
    extra_sigma: ByVariable = Field({}, description="variable: error added in quadrature, such as internal variability")
    rho: ByVariable = Field({}, description="variable: correlation of the errors of neighbouring years")
    weights: ByVariable = Field({}, description="variable: weight; w counts like errors divided by its root")
    ranges: list[str] = Field([], description="assessed ranges to fit as well: ar6:ecs, ar6:tcr, ar6:aerosol")
    relative_error: Annotated[float, Structural()] | None = Field(
        None, gt=0, description="error as a fraction of each value"
    )
    combine: Literal["replace", "quadrature"] = Field(
        "replace", description="a relative error replaces the given errors, or is added in quadrature"
    )
    floor: Annotated[float, Structural()] | None = Field(None, gt=0, description="least relative error")
    normalize: bool = Field(False, description="with the norms of the densities, for comparing models")
    priors: dict[str, Any] = Field(
        {}, description="parameter: distribution; these parameters are free unless `free` says otherwise"
    )
    synthetic: Annotated[int, Varying()] = Field(
        0,
        ge=0,
        description="0: as observed; b ≥ 1: data set b of the model itself, parameters drawn from the priors",
    )
    outputs: list[str] = Field(
        ["Surface Temperature", "Ocean Heat Content"], description="series that `evaluate` records"
    )

    @field_validator("forcing")
    @classmethod
    def _known_forcing(cls, name: str) -> str:
        forcings.forcing(name)
        return name

    @field_validator("observations")
    @classmethod
    def _known_observations(cls, names: list[str]) -> list[str]:
        for name in names:
            observations.observed(name)
        return names

    @field_validator("ranges")
    @classmethod
    def _known_ranges(cls, names: list[str]) -> list[str]:
        for name in names:
            assessed(name)
        return names

    @field_validator("reference")
    @classmethod
    def _pairs(cls, periods: dict[str, list[float] | None]) -> dict[str, list[float] | None]:
        for name, period in periods.items():
            if period is not None and not (len(period) == 2 and period[0] <= period[1]):
                raise ValueError(f"the period of `{name}` is {period}: write [first, last]")
        return periods

    @model_validator(mode="after")
    def _consistent(self) -> TwoLayerOptions:
        space(self)
        return self


def own_forcing(options: TwoLayerOptions) -> Forcing:
    """The forcing of a problem."""
    if options.forcing_file is None:
        found = forcings.forcing(options.forcing)
    else:
        found = forcings.from_file(options.forcing_file)
    return found if options.last_year is None else found.until(options.last_year)


def priors(options: TwoLayerOptions) -> dict[str, Prior]:
    """Distributions of parameters."""
    return {name: parse_prior(own) for name, own in options.priors.items()}


def space(options: TwoLayerOptions) -> ThetaSpace:
    """The parameters of the problem, without JAX."""
    with_aerosols = options.forcing_file is None and forcings.forcing(options.forcing).aerosol is not None
    return two_layer_space(with_a=options.solver == "rk4", with_aerosols=with_aerosols, priors=priors(options))
