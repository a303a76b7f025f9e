"""Fits in Python whose parameters are shown shifted, as the option `blind` of a manifest has it. No JAX.

The problem itself works in shifted parameters, so an optimiser, a profile or a sampler never holds the truth. What
follows from it (derived numbers, predictions, residuals, pulls) is withheld; chi2 and errors are those of the truth.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import ValidationError

from campaign.science import Blind, InvalidValue, nearest
from campaign_cosmology.api.parameters import CONVENTIONS, parameter_table
from campaign_cosmology.api.results import BlockResult, ParameterDict
from campaign_cosmology.model.objective import ProblemObjective
from campaign_cosmology.model.selection import Selection

MARK = "blinded"  # key of a ParameterDict and of a result: the names of the shifted parameters


def checked_blind(given: Blind | Mapping[str, Any] | None, free: Sequence[str]) -> Blind | None:
    """What is to be shifted: ``{"key": …, "scale": {"H0": 3.0}}`` as `campaign blind` prints it.

    Raises:
        ValueError (InvalidValue): no such document, or a parameter that does not move.
    """
    if given is None:
        return None
    try:
        blind = given if isinstance(given, Blind) else Blind.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "blind"
        hint = "`campaign blind --phrase … --scale H0=3` prints one"
        raise InvalidValue(f"`blind`: {place}: {first['msg']}", hint=hint) from None
    for name in blind.scale:
        if name not in free:
            raise InvalidValue(
                f"`{name}` is blinded and does not move: its value would be off by the shift",
                hint=f"optimise it, or blind what moves; {nearest(name, free) if free else 'nothing moves'}",
            )
    return blind


def require_same_blinding(params: Mapping[str, Any], blind: Blind | None) -> None:
    """Shifted parameters are only good for a fit that is blinded alike.

    Raises:
        ValueError (InvalidValue): a result's parameters are shifted, and the fit is not.
    """
    shifted = set(params.get(MARK, ()))
    if shifted and (blind is None or shifted != set(blind.scale)):
        raise InvalidValue(
            f"the parameters are blinded ({', '.join(sorted(shifted))}), and what is asked for is not",
            hint="give the same `blind` that they were fitted with",
        )


def hidden_params(params: ParameterDict, blind: Blind) -> ParameterDict:
    """The parameters and conventions alone, without what would follow from shifted values, and which are shifted."""
    kept = {*parameter_table(params["model_class"], params), *CONVENTIONS, "model_class"}
    return {name: value for name, value in params.items() if name in kept} | {MARK: sorted(blind.scale)}


def hidden_blocks(selection: Selection, best: Mapping[str, float]) -> dict[str, BlockResult]:
    """chi2 of each data set at the best values of the free parameters; nothing of what the model predicts."""
    objective = selection.objective
    if not isinstance(objective, ProblemObjective):
        raise InvalidValue("a registered likelihood sees parameters as they are", hint="fit it without `blind`")
    whitened = objective.residuals(np.array([best[p.name] for p in objective.parameters]))
    found, start = {}, 0
    for short, block in zip(selection.datasets, objective.problem.setup.blocks, strict=True):
        own = whitened[start : start + len(block.table)]
        found[short] = BlockResult(chi2=float(own @ own), predictions={}, residuals=[], pulls={})
        start += len(block.table)
    return found
