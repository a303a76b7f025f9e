"""One optimisation of a selection, or several from different starts, and what its end is worth."""

from __future__ import annotations

import time
import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from campaign.science import InvalidValue, nearest
from campaign_cosmology.api.parameters import parameter_table
from campaign_cosmology.api.result_cache import cached, keep, key_of
from campaign_cosmology.api.results import OptimizationResult
from campaign_cosmology.api.search import named, search, starts_of
from campaign_cosmology.api.selection import data_hashes
from campaign_cosmology.api.theory import conventions
from campaign_cosmology.judge.identifiability import Curvature, bounds_reached, curvature
from campaign_cosmology.model.objective import ProblemObjective
from campaign_cosmology.model.objectives import OBJECTIVES, custom_objective
from campaign_cosmology.model.optimizers import OPTIMIZERS, library_of
from campaign_cosmology.model.selection import Selection
from campaign_cosmology.model.tolerance import Tolerance, checked_tolerance, tolerance_for
from campaign_cosmology.model.warning import CosmologyWarning

_CONFIG_KEYS = ("method", "options", "bounds", "n_starts", "seed", "tolerance", "objective")
USUAL_TOLERANCE = 1e-6  # of the gradient at the end, where none is asked for


def checked_config(config: Mapping[str, Any] | None) -> dict[str, Any]:
    """method, options, bounds, n_starts, seed, tolerance, objective of an optimiser configuration, defaults filled in.

    Raises:
        ValueError (InvalidValue): an unknown key or method.
    """
    if config is not None and not isinstance(config, Mapping):
        raise InvalidValue(f"optimizer_config is a {type(config).__name__}", hint=f"a dictionary of {_CONFIG_KEYS}")
    for key in ("options", "bounds"):
        if (config or {}).get(key) is not None and not isinstance((config or {})[key], Mapping):
            raise InvalidValue(f"optimizer_config[{key!r}] is {(config or {})[key]!r}", hint="a dictionary by name")
    for key in config or {}:
        if key not in _CONFIG_KEYS:
            raise InvalidValue(f"optimizer_config has no key `{key}`", hint=nearest(str(key), _CONFIG_KEYS))
    chosen = {
        "method": None,
        "options": None,
        "bounds": None,
        "n_starts": 1,
        "seed": 0,
        "tolerance": None,
        "objective": None,
    }
    chosen |= config or {}
    if chosen["tolerance"] is not None:
        chosen["tolerance"] = checked_tolerance(chosen["tolerance"])
    if chosen["method"] is not None and chosen["method"] not in OPTIMIZERS:
        hint = f"{nearest(str(chosen['method']), OPTIMIZERS)} (yours can be registered in OPTIMIZERS)"
        raise InvalidValue(f"unknown optimiser `{chosen['method']}`", hint=hint)
    if chosen["objective"] is not None and chosen["objective"] not in OBJECTIVES:
        hint = nearest(str(chosen["objective"]), OBJECTIVES) if OBJECTIVES else "OBJECTIVES is empty"
        raise InvalidValue(f"unknown objective `{chosen['objective']}`", hint=f"{hint}; register yours in OBJECTIVES")
    for key, least in (("n_starts", 1), ("seed", 0)):
        if isinstance(chosen[key], bool) or not isinstance(chosen[key], int) or chosen[key] < least:
            raise InvalidValue(f"{key} is {chosen[key]!r}", hint=f"a whole number, {least} or more")
    return chosen


def optimise(
    selection: Selection,
    config: Mapping[str, Any] | None = None,
    cov_scale: float = 1.0,
    *,
    use_cache: bool = False,
    asked: Collection[str] | None = None,
) -> OptimizationResult:
    """Run one optimisation, or several from different starts, and judge the best.

    The first start is the selection's own; the others are a Latin hypercube of ±20 % (or ±0.3 in logarithm) around it,
    inside the bounds. An optimum that is worse than the start, or out of bounds, is rejected: status "failed", and the
    start is returned.

    Args:
        use_cache: take what an equal optimisation has found before (`result_cache`), and keep what this one finds.
        asked: free parameters whose start was asked for; None: all. Others start where stored defaults say: two fits
            that differ in that only are equal.
    """
    chosen = checked_config(config)
    key = key_of(selection, chosen, cov_scale, asked) if use_cache else None
    known = cached(key) if key is not None else None
    result = known or _computed(selection, chosen, cov_scale)
    if known is not None:
        result = replace(known, metadata={**known.metadata, "cached": key})
    elif key is not None:
        keep(key, result)
    _warn(result.model, result.bound_sides, result.unidentified)
    return result


def _computed(selection: Selection, chosen: Mapping[str, Any], cov_scale: float) -> OptimizationResult:
    method, options, objective = chosen["method"] or "minimize", chosen["options"], selection.objective
    tolerance = tolerance_for(method, options, chosen["tolerance"]) if chosen["tolerance"] is not None else None
    if tolerance is not None:
        options = tolerance.options
    aim: Any = objective
    if chosen["objective"] is not None:
        if not isinstance(objective, ProblemObjective):
            raise InvalidValue("a registered likelihood takes no objective", hint="put what it should add into it")
        if selection.blind is not None:
            raise InvalidValue("an objective of one's own would see shifted parameters", hint="fit it without `blind`")
        aim = custom_objective(chosen["objective"], objective)
    if method == "trf" and not isinstance(aim, ProblemObjective):
        raise InvalidValue("`trf` needs residuals, which what was registered does not have", hint="method `minimize`")
    x0 = np.array(objective.start, float)
    started = time.perf_counter()
    found = search(aim, method, options, starts_of(aim.parameters, x0, chosen["n_starts"], chosen["seed"]))
    elapsed = time.perf_counter() - started
    x, parameters = found.best.x, objective.parameters
    report = _curvature(selection, x) if aim is objective else None
    reached, gradient_norm = bounds_reached(parameters, x), _gradient_norm(aim, x)
    chi2 = found.best.value if aim is objective else objective(x)
    outcome: dict[str, Any] = {
        "starting_params": named(parameters, x0),
        "final_chi2": chi2,
        "chi2_improvement": objective(x0) - chi2,
        "convergence_status": found.best.status,
        "bounds_reached": list(reached),
        "bound_sides": reached,
        "optimizer_info": _optimizer_info(method, options),
        "covariance_scaling": cov_scale,
        "unidentified": report.unidentified if report else [],
    }
    metadata = {**outcome, **_described(selection, chosen, report), "message": found.best.message}
    metadata |= {"convergence": _convergence(tolerance, gradient_norm), "starts": found.table}
    if chosen["objective"] is not None:
        metadata["objective"] = {"name": chosen["objective"], "start": aim(x0), "end": found.best.value}
    return OptimizationResult(
        model=selection.model,
        optimized_params=named(parameters, x),
        n_function_evaluations=found.n_evaluations,
        optimization_time=elapsed,
        stderr=report.stderr if report else {},
        n_iterations=found.best.n_iterations,
        gradient_norm=gradient_norm,
        **outcome,
        metadata=metadata,
    )


def _described(selection: Selection, chosen: Mapping[str, Any], report: Curvature | None) -> dict[str, Any]:
    """What an optimisation was of, all that is needed to repeat it, and what its end is worth."""
    parameters = selection.objective.parameters
    free = {p.name for p in parameters}
    table = parameter_table(selection.model, selection.params)
    return {
        "timestamp": datetime.now(UTC).isoformat(timespec="seconds"),
        "source_dataset": ",".join(selection.datasets),
        "datasets": list(selection.names),
        "data_sha256": data_hashes(selection),
        "conventions": conventions(selection.params),
        "fixed_params": {name: float(selection.params[name]) for name in table if name not in free},
        "optimizer_config": {k: v for k, v in chosen.items() if v is not None and k != "bounds"},
        **({} if selection.blind is None else {"blind": selection.blind.model_dump()}),
        "bounds_used": {p.name: [p.lower, p.upper] for p in parameters},
        "n_data": selection.n_data,
        "n_profiled": selection.n_profiled,
        "n_effective_parameters": (report.n_effective if report else len(parameters)) + selection.n_profiled,
        "covariance": {
            "parameters": report.constrained if report else [],
            "matrix": report.covariance.tolist() if report else [],
        },
        "unconstrained_directions": report.directions if report else [],
        "sensitivity": report.sensitivity if report else {},
    }


def _convergence(tolerance: Tolerance | None, gradient_norm: float) -> dict[str, Any]:
    """The tolerance that was asked for, the one that the optimiser had, and whether the end meets it."""
    asked = tolerance.asked if tolerance is not None else USUAL_TOLERANCE
    used = tolerance.used if tolerance is not None else asked
    note = tolerance.note if tolerance is not None else None
    return {"tolerance": asked, "used": used, "note": note, "reached": bool(gradient_norm <= used)}


def _warn(model: str, reached: Mapping[str, str], unidentified: Sequence[str]) -> None:
    """One warning about everything that has no Gaussian error."""
    found = [f"{name} ended at its {side} bound" for name, side in reached.items()]
    if unidentified:
        found.append(f"not constrained by the data: {', '.join(unidentified)}")
    if found:
        warnings.warn(f"{model}: {'; '.join(found)}; no errors are given for these", CosmologyWarning, stacklevel=4)


def _curvature(selection: Selection, x: np.ndarray) -> Curvature | None:
    if not isinstance(selection.objective, ProblemObjective):
        return None
    _, jacobian = selection.objective.linearised(x)
    return curvature(selection.objective.parameters, x, jacobian) if np.isfinite(jacobian).all() else None


def _gradient_norm(objective: Any, x: np.ndarray) -> float:
    """|∇chi2| in typical changes of the parameters, without what pushes against a bound."""
    parameters = objective.parameters
    gradient = objective.gradient(x) * np.array([p.typical for p in parameters])
    held = [
        (value <= p.lower and g > 0) or (value >= p.upper and g < 0)
        for p, value, g in zip(parameters, x, gradient, strict=True)
    ]
    return float(np.linalg.norm(np.where(held, 0.0, gradient)))


def _optimizer_info(method: str, options: Mapping[str, Any] | None) -> dict[str, str]:
    library, version = library_of(method)
    shown = str((options or {}).get("method", "L-BFGS-B")) if method == "minimize" else method
    return {"method": shown, "library": library, "version": version}
