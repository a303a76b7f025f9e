"""Models put together from components: what a user's factory returns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax.numpy as jnp
import numpy as np

from campaign.science import InvalidValue
from campaign_climate.data import forcing as forcings
from campaign_climate.data.forcing import Forcing
from campaign_climate.model.two_layer import TwoLayerModel
from campaign_climate.physics.constants import F2X_W_M2
from campaign_climate.physics.layers import Layers
from campaign_climate.physics.two_layer import STEPS_PER_YEAR

Model = TwoLayerModel


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TwoLayerComponent:
    """The parameters of the two-layer model. Values may be traced by JAX.

    Attributes:
        climate_sensitivity: equilibrium warming for doubled CO2 [K]; sets λ0 = f2x/climate_sensitivity.
        ocean_heat_uptake: exchange between the layers η [W m⁻² K⁻¹].
        lambda0, eta: the same two under the names of the equations. Give one of each pair, or none.
        a, efficacy, heat_capacity_surface, heat_capacity_deep: see `Layers`.
        f2x: forcing of doubled CO2 [W m⁻²].
    """

    climate_sensitivity: Any = None
    ocean_heat_uptake: Any = None
    lambda0: Any = None
    eta: Any = None
    a: Any = 0.0
    efficacy: Any = 1.0
    heat_capacity_surface: Any = 8.0
    heat_capacity_deep: Any = 100.0
    f2x: Any = F2X_W_M2

    def __post_init__(self) -> None:
        for one, other in (("climate_sensitivity", "lambda0"), ("ocean_heat_uptake", "eta")):
            if getattr(self, one) is not None and getattr(self, other) is not None:
                raise InvalidValue(f"TwoLayerComponent: `{one}` and `{other}` say the same", hint="give one of them")

    @property
    def layers(self) -> Layers:
        """The parameters of the equations."""
        if self.climate_sensitivity is not None:
            feedback = self.f2x / self.climate_sensitivity
        else:
            feedback = 1.0 if self.lambda0 is None else self.lambda0
        exchange = self.eta if self.ocean_heat_uptake is None else self.ocean_heat_uptake
        return Layers(
            *(
                jnp.asarray(value, float)
                for value in (
                    feedback,
                    self.a,
                    self.efficacy,
                    0.7 if exchange is None else exchange,
                    self.heat_capacity_surface,
                    self.heat_capacity_deep,
                )
            )
        )

    @property
    def is_linear(self) -> bool:
        """Whether a is the number 0, so that the exact solution holds."""
        return isinstance(self.a, (int, float)) and self.a == 0


@dataclass(frozen=True, slots=True)
class ModelBuilder:
    """Puts a model together: ``ModelBuilder().with_component(component).build()``. Every method gives a new builder.

    Without `with_forcing` the forcing is that of IGCC 2024.
    """

    component: TwoLayerComponent | None = None
    forcing: Forcing | None = None
    steps_per_year: int = STEPS_PER_YEAR

    def with_component(self, component: TwoLayerComponent) -> ModelBuilder:
        """With the parameters of the two-layer model.

        Raises:
            InvalidValue: it is no `TwoLayerComponent`, or there is one already.
        """
        if not isinstance(component, TwoLayerComponent):
            raise InvalidValue(f"a component of type {type(component).__name__}", hint="TwoLayerComponent(…)")
        if self.component is not None:
            raise InvalidValue("the model has a component already")
        return replace(self, component=component)

    def with_forcing(
        self, forcing: str | Forcing | Sequence[float] | np.ndarray, times: Sequence[float] | np.ndarray | None = None
    ) -> ModelBuilder:
        """With forcing by name, as a `Forcing`, or as an array with its calendar years."""
        if isinstance(forcing, str):
            return replace(self, forcing=forcings.forcing(forcing))
        if isinstance(forcing, Forcing):
            return replace(self, forcing=forcing)
        if times is None:
            raise InvalidValue("forcing without its years", hint="with_forcing(values, years)")
        return replace(self, forcing=forcings.from_arrays(np.asarray(times), np.asarray(forcing)))

    def build(self) -> Model:
        """The model, solved exactly where the feedback is linear, by Runge–Kutta steps otherwise.

        Raises:
            InvalidValue: there is no component.
        """
        if self.component is None:
            raise InvalidValue("the model has no component", hint="ModelBuilder().with_component(TwoLayerComponent())")
        own = forcings.forcing() if self.forcing is None else self.forcing
        return Model(
            layers=self.component.layers,
            f2x=jnp.asarray(self.component.f2x, float),
            forcing=jnp.asarray(own.total),
            aerosol=None if own.aerosol is None else jnp.asarray(own.aerosol),
            first_year=own.first_year,
            solver="exact" if self.component.is_linear else "rk4",
            steps_per_year=self.steps_per_year,
        )
