"""Objectives of one's own: what an optimiser minimises in place of chi2.

    OBJECTIVES["with_penalty"] = lambda params, chi2: sum(chi2.values()) + ((params["H0"] - 70.0) / 10.0) ** 2
    run_fit(…, optimizer_config={"objective": "with_penalty"})

`params` are all parameters by name, `chi2` that of each data set by its full name. The result tells chi2 as ever, and
gives no errors: the curvature of chi2 is not that of the objective.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from campaign.science import InvalidValue, told
from campaign_cosmology.model.objective import FunctionObjective, ProblemObjective

CustomObjective = Callable[[Mapping[str, float], Mapping[str, float]], float]
OBJECTIVES: dict[str, CustomObjective] = {}
"""Name → function (params, chi2 by data set) → number to be made small. Add your own here."""


def custom_objective(name: str, objective: ProblemObjective) -> FunctionObjective:
    """The registered objective over the free parameters of a fit.

    Raises:
        ValueError (InvalidValue): it raises, or returns no number; with its place.
    """
    function = OBJECTIVES[name]
    blocks = objective.problem.setup.blocks
    ends = np.cumsum([len(block.table) for block in blocks])[:-1]
    names = [p.name for p in objective.parameters]

    def value(values: dict[str, float]) -> float:
        x = np.array([values[n] for n in names])
        params = dict(zip(objective.problem.space.names, objective.theta(x).tolist(), strict=True))
        parts = np.split(objective.residuals(x), ends)
        chi2 = {block.table.name: float(r @ r) for block, r in zip(blocks, parts, strict=True)}
        try:
            return float(function(params, chi2))
        except Exception as error:
            raise InvalidValue(f"the objective `{name}` failed: {told(error).message}") from error

    return FunctionObjective(value, objective.parameters, objective.start)
