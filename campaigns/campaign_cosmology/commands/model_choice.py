"""Which model a configuration means when it names none: the one that has its parameters. No JAX."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from campaign.science import UsageError
from campaign_cosmology.api.parameters import DEFAULTS, parameter_table

USUAL = "lcdm"


def chosen_model(names: Sequence[str], conventions: Mapping[str, Any]) -> str:
    """The usual model where it has all of `names`, else the only one that does.

    A name that no model has is left to the checks of the usual model, which say what is nearest.

    Args:
        names: parameters that are to move or are set.
        conventions: neutrinos and drag_method, which add parameters.

    Raises:
        UsageError: several models have them all, or none has.
    """
    tables = {model: parameter_table(model, conventions) for model in DEFAULTS}
    known = [name for name in dict.fromkeys(names) if any(name in table for table in tables.values())]
    holders = [model for model, table in tables.items() if all(name in table for name in known)]
    if USUAL in holders:
        return USUAL
    telling = [name for name in known if name not in tables[USUAL]]
    if len(holders) == 1:
        return holders[0]
    if holders:
        raise UsageError(
            f"the configuration names no model, and {', '.join(telling)} may be of {' or '.join(holders)}",
            hint=f'add `"model": "{holders[0]}"` to it, or --model {holders[0]}',
        )
    whose = (f"{name}: {', '.join(m for m, table in tables.items() if name in table)}" for name in telling)
    raise UsageError(f"no model has all of {', '.join(telling)}", hint="; ".join(whose))
