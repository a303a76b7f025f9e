"""Fits of what was registered, as problems that a manifest can name.

The file that ``--plugin`` runs may also hold a function that a manifest calls, ``"problem": {"name": "mine.py:fit"}``:

    def fit():
        return registered_problem("lcdm", ["cmb", "bao_ani:mine"], ["H0", "Om0", "Obh2"])
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from campaign.science import Blind, Parameter, Problem, PythonModel, ThetaSpace
from campaign_cosmology.api.parameters import build_params, known_model, parameter_table
from campaign_cosmology.api.selection import checked_free, dataset_names, select
from campaign_cosmology.model.objective import ProblemObjective
from campaign_cosmology.model.space import default_free


def registered_problem(
    model: str,
    datasets: Sequence[str],
    optimization_params: Sequence[str] | None = None,
    overrides: Mapping[str, Any] | None = None,
    *,
    covariance_scaling: float = 1.0,
    blind: Blind | Mapping[str, Any] | None = None,
) -> Problem:
    """What `run_fit` would fit, as a problem for a manifest, an engine or a sampler. Stored defaults take no part.

    Registered data whose rows say what they measure are compiled like built-in ones. A registered likelihood is called
    as it is, in a process of its own: log L = −chi2/2, without residuals, so engines of least squares refuse it.

    Args:
        optimization_params: parameters that move; None: those that data of these kinds constrain.
        blind: as in `run_fit`: the problem, and what samples it, then have shifted parameters.

    Raises:
        ValueError, KeyError, TypeError: as `run_fit`.
    """
    if optimization_params is None:
        optimization_params = default_free(known_model(model), dataset_names(datasets, ()))
    free = checked_free(model, optimization_params, overrides, datasets)
    params = build_params(model, overrides)
    selection = select(model, datasets, free, params, cov_scale=covariance_scaling, blind=blind)
    objective = selection.objective
    if isinstance(objective, ProblemObjective):
        space = objective.problem.space
        here = ThetaSpace(tuple(replace(p, initial=float(params[p.name])) for p in space.parameters))
        return replace(objective.problem, space=here)
    table = parameter_table(model, overrides)
    moving: tuple[Parameter, ...] = tuple(replace(table[name], initial=float(params[name]), free=True) for name in free)

    def log_likelihood(parameters: dict[str, float]) -> float:
        return -0.5 * objective.function({name: float(parameters[name]) for name in free})

    return PythonModel(log_likelihood, moving, gives="log_likelihood")
