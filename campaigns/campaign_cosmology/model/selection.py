"""One fit as a value: its model, data, free parameters, start and chi2."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from campaign.science import Blind
from campaign_cosmology.model.objective import FunctionObjective, ProblemObjective


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """One fit, ready to run.

    Attributes:
        model: name of the model. params: start, with every fixed parameter and the conventions.
        datasets: names as given. names: full names where the package knows them.
        free: parameters that move.
        objective: chi2 of the free parameters.
        blind: which of the parameters are shown shifted: values in `params`, and those of the objective, are.
        n_data, n_profiled: data points, and nuisance parameters that the likelihood eliminates.
    """

    model: str
    params: dict[str, Any]
    datasets: tuple[str, ...]
    names: tuple[str, ...]
    free: tuple[str, ...]
    objective: ProblemObjective | FunctionObjective
    n_data: int
    n_profiled: int
    blind: Blind | None = None
