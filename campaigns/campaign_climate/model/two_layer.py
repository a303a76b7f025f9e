"""A two-layer model with its parameters and forcing, ready to run, and the outputs that it has."""

from __future__ import annotations

from typing import ClassVar

import equinox as eqx
import numpy as np
from jaxtyping import Array, Float

from campaign_climate.model.sums import ordered_sum
from campaign_climate.physics.constants import OCEAN_FRACTION
from campaign_climate.physics.layers import Layers
from campaign_climate.physics.two_layer import (
    STEPS_PER_YEAR,
    ecs,
    exact,
    heat_content,
    heat_uptake,
    runge_kutta,
    tcr,
    tcr_nonlinear,
)

AEROSOL_YEARS = (2005, 2014)  # the period of the assessed aerosol forcing: IPCC AR6 WGI, sec. 7.3.3


class TwoLayerModel(eqx.Module):
    """One model: parameters and forcing. All its numbers may be traced.

    Attributes:
        layers: parameters.
        f2x: forcing of doubled CO2 [W m⁻²], for ECS and TCR.
        forcing: (n,) [W m⁻²], mean of each calendar year.
        aerosol: the part of aerosols in it (n,); None where it is not known.
        first_year: of the forcing; the model starts there in equilibrium. Static.
        solver: "exact" (a = 0), or "rk4". Static.
        steps_per_year: of "rk4". Static.
        ocean_fraction: of the heat that goes into the ocean. Static.
    """

    layers: Layers
    f2x: Float[Array, ""]
    forcing: Float[Array, " n"]
    aerosol: Float[Array, " n"] | None = None
    first_year: int = eqx.field(static=True, default=1750)
    solver: str = eqx.field(static=True, default="exact")
    steps_per_year: int = eqx.field(static=True, default=STEPS_PER_YEAR)
    ocean_fraction: float = eqx.field(static=True, default=OCEAN_FRACTION)

    SERIES: ClassVar[dict[str, str]] = {
        "Surface Temperature": "K",
        "Surface Temperature|End": "K",
        "Deep Ocean Temperature": "K",
        "Heat Uptake": "W/m2",
        "Ocean Heat Content": "ZJ",
    }
    SCALARS: ClassVar[dict[str, str]] = {"ECS": "K", "TCR": "K", "Aerosol Forcing": "W/m2"}

    @property
    def times(self) -> np.ndarray:
        """Calendar years (n,)."""
        return self.first_year + np.arange(self.forcing.shape[-1])

    def series(self) -> dict[str, Float[Array, " n"]]:
        """What the model gives for each calendar year.

        `Surface Temperature` is the annual mean [K], `Heat Uptake` too [W m⁻²]; `Surface Temperature|End`,
        `Deep Ocean Temperature` [K] and `Ocean Heat Content` [ZJ] are of the end of the year. NaN after a runaway.
        """
        if self.solver == "exact":
            response = exact(self.layers, self.forcing)
        else:
            response = runge_kutta(self.layers, self.forcing, self.steps_per_year)
        return {
            "Surface Temperature": response.surface,
            "Surface Temperature|End": response.surface_end,
            "Deep Ocean Temperature": response.deep_end,
            "Heat Uptake": heat_uptake(self.layers, response),
            "Ocean Heat Content": heat_content(self.layers, response, self.ocean_fraction),
        }

    def scalars(self) -> dict[str, Float[Array, ""]]:
        """ECS, TCR [K], and where aerosols are known their forcing in 2005-2014 against the first year [W m⁻²]."""
        if self.solver == "exact":
            transient = tcr(self.layers, self.f2x)
        else:
            transient = tcr_nonlinear(self.layers, self.f2x, self.steps_per_year)
        out = {"ECS": ecs(self.layers, self.f2x), "TCR": transient}
        if self.aerosol is not None:
            first, last = (year - self.first_year for year in AEROSOL_YEARS)
            if first >= 0 and last < self.aerosol.shape[-1]:
                mean = ordered_sum(self.aerosol[first : last + 1]) / (last + 1 - first)
                out["Aerosol Forcing"] = mean - self.aerosol[0]
        return out
