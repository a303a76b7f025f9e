"""What a fit says of the sound horizon and of the supernovae's offset, with errors.

    r_d [Mpc], h r_d [Mpc], and M [mag] of every supernova set

M fits best at the optimum, M = −(1ᵀC⁻¹(μ − m))/(1ᵀC⁻¹1); its error is that of the posterior with a flat prior on M:
σ_M² = 1/(1ᵀC⁻¹1) + gᵀ Cov g with g = ∂M/∂parameters, exact where the model is linear. Without anchors M and H0 are one
direction, m sees M − 5 log10 H0 only: with H0 free and nothing else that knows it, M has no error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from campaign_cosmology.api.datasets import load_dataset
from campaign_cosmology.api.likelihoods import offset_of
from campaign_cosmology.api.parameters import completed
from campaign_cosmology.api.results import DerivedValue, ParameterDict
from campaign_cosmology.judge.propagation import propagated
from campaign_cosmology.model.objective import ProblemObjective
from campaign_cosmology.model.selection import Selection

STEP = 1e-3  # of a parameter's typical change, in the central differences


def derived_values(
    selection: Selection, params: ParameterDict, cov_scale: float, *, is_optimum: bool
) -> dict[str, DerivedValue]:
    """``r_d``, ``h_rd``, and ``M_<data set>``: value, error and unit; an error is None where there is none.

    Args:
        params: at the optimum. is_optimum: something was fitted; else nothing has an error.
    """
    sets = {f"M_{short}": name for short, name in zip(selection.datasets, selection.names, strict=True)}
    offsets = {label: data for label, name in sets.items() if _is_sn(data := load_dataset(name))}

    def values(at: Mapping[str, Any]) -> dict[str, float]:
        here = completed(at)
        found = {"r_d": float(here["r_s_drag"]), "h_rd": float(here["H0"]) / 100.0 * float(here["r_s_drag"])}
        return found | {label: offset_of(here, data)[0] for label, data in offsets.items()}

    found = values(params)
    own = {label: cov_scale * offset_of(params, data)[1] ** 2 for label, data in offsets.items()}
    errors = _errors(selection, params, values) if is_optimum else {}
    out = {}
    for label, value in found.items():
        error = errors.get(label)
        if error is not None and label in own:
            error = float(np.sqrt(error**2 + own[label]))
        elif error == 0.0:
            error = None  # nothing that moves changes it
        out[label] = DerivedValue(value=value, stderr=error, unit="mag" if label in own else "Mpc")
    return out


def _is_sn(data: Mapping[str, Any]) -> bool:
    return data["dataset_type"] == "sn" and "quantity" in data["metadata"]


def _errors(
    selection: Selection, params: ParameterDict, values: Callable[[Mapping[str, Any]], dict[str, float]]
) -> dict[str, float | None]:
    objective = selection.objective
    if not isinstance(objective, ProblemObjective):
        return {}
    x = np.array([float(params[p.name]) for p in objective.parameters])
    _, jacobian = objective.linearised(x)
    slopes: dict[str, list[float]] = {}
    for p, here in zip(objective.parameters, x, strict=True):
        step = STEP * p.typical
        high, low = (values({**params, p.name: here + sign * step}) for sign in (1.0, -1.0))
        for label in high:
            slopes.setdefault(label, []).append((high[label] - low[label]) / (2.0 * step))
    return {label: propagated(objective.parameters, x, jacobian, np.array(g)) for label, g in slopes.items()}
