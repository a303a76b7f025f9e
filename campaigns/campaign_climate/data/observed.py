"""Observed warming and ocean heat by name. No JAX."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from campaign.science import UnknownName, nearest
from campaign_climate.data.tables import names, table

VARIABLES = {"gmst": "Surface Temperature", "ohc": "Ocean Heat Content"}
UNITS = {"Surface Temperature": "K", "Ocean Heat Content": "ZJ"}
REFERENCE = {"Surface Temperature": (1850.0, 1900.0), "Ocean Heat Content": (1995.0, 2014.0)}
NAMES = tuple(f"{kind}:{variant}" for kind in VARIABLES for variant in names(kind))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Observed:
    """One observed series.

    Attributes:
        name: for example "gmst:hadcrut5".
        variable: what the model calls it.
        years: calendar years (n,).
        values: (n,), as published. sigma: one standard deviation (n,); None where there is none.
        sha256: of the table.
    """

    name: str
    variable: str
    years: np.ndarray
    values: np.ndarray
    sigma: np.ndarray | None
    sha256: str


def observed(name: str) -> Observed:
    """A series by name.

    Raises:
        UnknownName: there is none of that name.
    """
    if name not in NAMES:
        raise UnknownName(f"unknown observations `{name}`", hint=nearest(name, NAMES))
    own = table(name)
    return Observed(
        name=name,
        variable=VARIABLES[name.partition(":")[0]],
        years=np.floor(own.columns["time"]),
        values=own.columns["value"],
        sigma=own.columns.get("uncertainty"),
        sha256=own.sha256,
    )
