"""Two-layer parameters that others fitted to climate models. No JAX."""

from __future__ import annotations

from campaign.science import UnknownName, nearest
from campaign_climate.data.tables import names, table

NAMES = names("parameters")


def parameter_sets(name: str) -> dict[str, dict[str, float]]:
    """Parameters by climate model: "cmip5" has 16, "cmip6" has 35. `f2x` is half of the forcing of quadrupled CO2.

    Raises:
        UnknownName: there is no such set.
    """
    if name not in NAMES:
        raise UnknownName(f"unknown parameter sets `{name}`", hint=nearest(name, NAMES))
    own = table(f"parameters:{name}")
    wanted = ("lambda0", "efficacy", "eta", "heat_capacity_surface", "heat_capacity_deep")
    return {
        model: {column: float(own.columns[column][i]) for column in wanted}
        | {"f2x": 0.5 * float(own.columns["F4x"][i])}
        for i, model in enumerate(own.labels)
    }
