"""From a row of a campaign's table to the parameter dictionary that the figures draw."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from campaign.science import InvalidValue

if TYPE_CHECKING:
    import pandas


def parameters(row: Mapping[str, Any] | pandas.Series) -> dict[str, Any]:
    """The parameter dictionary of a row of a campaign's table, with the conventions it was computed under.

    Raises:
        InvalidValue: the row says that its parameters are blinded.
    """
    from campaign_cosmology.api.parameters import get_defaults
    from campaign_cosmology.api.theory import CONVENTION_DEFAULTS, CONVENTION_KEYS

    if isinstance(row.get("problem.blind"), Mapping):
        raise InvalidValue("the parameters are blinded: the model has no values at them", hint="`campaign unblind`")
    found = get_defaults(str(row.get("problem.model", "lcdm")))  # what the table does not have, has its built-in value
    for name, value in row.items():
        if str(name).startswith("theta.") and value == value:
            found[str(name).removeprefix("theta.")] = float(value)
    for option, key in CONVENTION_KEYS.items():
        found[key] = row.get(f"problem.{option}") or CONVENTION_DEFAULTS[option]
    return found
