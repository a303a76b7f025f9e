"""The parameters of the two-layer model: units, defaults and bounds. No JAX."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from campaign.science import Parameter, Prior, ThetaSpace, UnknownName, nearest
from campaign_climate.physics.constants import F2X_W_M2

LAYERS = (
    Parameter(name="lambda0", initial=1.0, unit="W/m2/K", lower=0.1, upper=5.0, scale=0.1, description="feedback"),
    Parameter(
        name="a", initial=0.0, unit="W/m2/K2", lower=0.0, upper=1.0, scale=0.01, description="decrease of the feedback"
    ),
    Parameter(
        name="efficacy", initial=1.0, lower=0.5, upper=4.0, scale=0.1, description="efficacy of deep heat uptake"
    ),
    Parameter(name="eta", initial=0.7, unit="W/m2/K", lower=0.1, upper=2.0, scale=0.05, description="heat exchange"),
    Parameter(
        name="heat_capacity_surface",
        initial=8.0,
        unit="W yr/m2/K",
        lower=1.0,
        upper=50.0,
        scale=0.5,
        description="of the surface layer",
    ),
    Parameter(
        name="heat_capacity_deep",
        initial=100.0,
        unit="W yr/m2/K",
        lower=10.0,
        upper=500.0,
        scale=5.0,
        description="of the deep layer",
    ),
)
SETTINGS = (
    Parameter(
        name="f2x", initial=F2X_W_M2, unit="W/m2", lower=1.0, upper=8.0, scale=0.1, description="forcing of doubled CO2"
    ),
    Parameter(
        name="aerosol_scale", initial=1.0, lower=-1.0, upper=3.0, scale=0.1, description="factor on aerosol forcing"
    ),
)
DEFAULT_FREE = ("lambda0", "eta", "heat_capacity_surface")


def two_layer_space(*, with_a: bool, with_aerosols: bool, priors: Mapping[str, Prior]) -> ThetaSpace:
    """The space of a problem. Parameters with a prior are free; without any prior the three of `DEFAULT_FREE`.

    A prior's support, where it is narrower than the hard range, becomes the bounds.

    Raises:
        UnknownName: a prior of something that is no parameter.
    """
    left_out = {name for name, used in (("a", with_a), ("aerosol_scale", with_aerosols)) if not used}
    own = [p for p in (*LAYERS, *SETTINGS) if p.name not in left_out]
    for name in priors:
        if name not in {p.name for p in own}:
            raise UnknownName(
                f"a prior is given for `{name}`, which is no parameter", hint=nearest(name, [p.name for p in own])
            )
    chosen = tuple(priors) or DEFAULT_FREE
    return ThetaSpace(tuple(_with_prior(replace(p, free=p.name in chosen), priors.get(p.name)) for p in own))


def _with_prior(parameter: Parameter, prior: Prior | None) -> Parameter:
    if prior is None:
        return parameter
    low, high = prior.support
    lower, upper = max(parameter.lower, low), min(parameter.upper, high)
    initial = min(max(parameter.initial, lower), upper)
    return replace(parameter, prior=prior, lower=lower, upper=upper, initial=initial)
