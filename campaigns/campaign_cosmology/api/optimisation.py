"""One optimisation of a selection, or several from different starts, and what its end is worth."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from campaign.science import InvalidValue, nearest
from campaign_cosmology.api.results import OptimizationResult
from campaign_cosmology.api.selection import data_hashes
from campaign_cosmology.api.theory import conventions
from campaign_cosmology.judge.identifiability import Curvature, bounds_reached, curvature
from campaign_cosmology.model.objective import ProblemObjective
from campaign_cosmology.model.optimizers import OPTIMIZERS, library_of
from campaign_cosmology.model.selection import Selection
from campaign_cosmology.model.tolerance import Tolerance, checked_tolerance, tolerance_for
from campaign_cosmology.model.warning import CosmologyWarning

WORSE = 1e-6  # an optimum that raises chi2 by more than this is rejected
_CONFIG_KEYS = ("method", "options", "bounds", "n_starts", "seed", "tolerance")
USUAL_TOLERANCE = 1e-6  # of the gradient at the end, where none is asked for


def checked_config(config: Mapping[str, Any] | None) -> dict[str, Any]:
    """method, options, bounds, n_starts, seed, tolerance of an optimiser configuration, defaults filled in.

    Raises:
        ValueError (InvalidValue): an unknown key or method.
    """
    for key in config or {}:
        if key not in _CONFIG_KEYS:
            raise InvalidValue(f"optimizer_config has no key `{key}`", hint=nearest(str(key), _CONFIG_KEYS))
    chosen = {"method": None, "options": None, "bounds": None, "n_starts": 1, "seed": 0, "tolerance": None}
    chosen |= config or {}
    if chosen["tolerance"] is not None:
        chosen["tolerance"] = checked_tolerance(chosen["tolerance"])
    if chosen["method"] is not None and chosen["method"] not in OPTIMIZERS:
        hint = f"{nearest(str(chosen['method']), OPTIMIZERS)} (yours can be registered in OPTIMIZERS)"
        raise InvalidValue(f"unknown optimiser `{chosen['method']}`", hint=hint)
    for key, least in (("n_starts", 1), ("seed", 0)):
        if isinstance(chosen[key], bool) or not isinstance(chosen[key], int) or chosen[key] < least:
            raise InvalidValue(f"{key} is {chosen[key]!r}", hint=f"a whole number, {least} or more")
    return chosen


def optimise(
    selection: Selection, config: Mapping[str, Any] | None = None, cov_scale: float = 1.0
) -> OptimizationResult:
    """Run one optimisation, or several from different starts, and judge the best.

    The first start is the selection's own; the others are a Latin hypercube of ±20 % (or ±0.3 in logarithm) around it,
    inside the bounds. An optimum that is worse than the start, or out of bounds, is rejected: status "failed", and the
    start is returned.
    """
    chosen = checked_config(config)
    objective = selection.objective
    method, options, asked = chosen["method"] or "minimize", chosen["options"], chosen["tolerance"]
    tolerance = tolerance_for(method, options, asked) if asked is not None else None
    if tolerance is not None:
        options = tolerance.options
    if method == "trf" and not isinstance(objective, ProblemObjective):
        raise InvalidValue("`trf` needs residuals, a registered likelihood has none", hint="method `minimize`")
    parameters = objective.parameters
    x0 = np.array(objective.start, float)
    started = time.perf_counter()
    chi2_start = objective(x0)
    table, best, n_evaluations = [], None, 0
    for x_start in _starts(parameters, x0, chosen["n_starts"], chosen["seed"]):
        found = OPTIMIZERS[method](
            _from(objective, x_start), x_start, [(p.lower, p.upper) for p in parameters], options
        )
        status = _status(found)
        x, chi2 = np.asarray(found.x, float), float(found.fun)
        n_evaluations += int(getattr(found, "nfev", 0))
        if not all(p.lower <= value <= p.upper for p, value in zip(parameters, x, strict=True)):
            chi2, status = np.inf, "failed"  # an optimiser that was registered, and went its own way
        entry = {"start": _named(parameters, x_start), "end": _named(parameters, x), "chi2": chi2, "status": status}
        table.append(entry)
        if np.isfinite(chi2) and (best is None or chi2 < best[1] - 1e-12):
            best = (x, chi2, status, found)
    elapsed = time.perf_counter() - started
    if best is None or best[1] > chi2_start + WORSE:
        x, chi2, status, message = x0, chi2_start, "failed", "no start led to a lower chi2; the start is returned"
        n_iterations = 0
    else:
        x, chi2, status, found = best
        message, n_iterations = str(getattr(found, "message", "")), int(getattr(found, "nit", 0) or 0)
    report, reached = _curvature(selection, x), bounds_reached(parameters, x)
    gradient_norm = _gradient_norm(selection, x)
    outcome: dict[str, Any] = {
        "starting_params": _named(parameters, x0),
        "final_chi2": chi2,
        "chi2_improvement": chi2_start - chi2,
        "convergence_status": status,
        "bounds_reached": list(reached),
        "bound_sides": reached,
        "optimizer_info": _optimizer_info(method, options),
        "covariance_scaling": cov_scale,
        "unidentified": report.unidentified if report else [],
    }
    _warn(selection.model, reached, outcome["unidentified"])
    return OptimizationResult(
        model=selection.model,
        optimized_params=_named(parameters, x),
        n_function_evaluations=n_evaluations,
        optimization_time=elapsed,
        stderr=report.stderr if report else {},
        n_iterations=n_iterations,
        gradient_norm=gradient_norm,
        **outcome,
        metadata={
            **outcome,
            "timestamp": datetime.now(UTC).isoformat(timespec="seconds"),
            "source_dataset": ",".join(selection.datasets),
            "datasets": list(selection.names),
            "data_sha256": data_hashes(selection),
            "conventions": conventions(selection.params),
            "bounds_used": {p.name: [p.lower, p.upper] for p in parameters},
            "message": message,
            "convergence": _convergence(tolerance, gradient_norm),
            "n_data": selection.n_data,
            "n_profiled": selection.n_profiled,
            "n_effective_parameters": (report.n_effective if report else len(parameters)) + selection.n_profiled,
            "covariance": {
                "parameters": report.constrained if report else [],
                "matrix": report.covariance.tolist() if report else [],
            },
            "unconstrained_directions": report.directions if report else [],
            "sensitivity": report.sensitivity if report else {},
            "starts": table,
        },
    )


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


def _from(objective: Any, x_start: np.ndarray) -> Any:
    if isinstance(objective, ProblemObjective):
        return ProblemObjective(objective.problem, objective.theta(x_start))
    return objective


def _named(parameters: Sequence[Any], x: np.ndarray) -> dict[str, float]:
    return {p.name: float(v) for p, v in zip(parameters, x, strict=True)}


def _status(found: Any) -> str:
    if not getattr(found, "success", True):
        text = str(getattr(found, "message", "")).lower()
        return "max_iter" if getattr(found, "status", None) == 1 or "maximum number" in text else "failed"
    return "success"


def _starts(parameters: Sequence[Any], x0: np.ndarray, n: int, seed: int) -> list[np.ndarray]:
    if n == 1:
        return [x0]
    from scipy.stats import qmc

    spread = 2.0 * qmc.LatinHypercube(len(x0), rng=np.random.default_rng(seed)).random(n - 1) - 1.0
    starts = [x0]
    for row in spread:
        x = []
        for parameter, value, shift in zip(parameters, x0, row, strict=True):
            if parameter.transform == "log":
                moved = value * np.exp(0.3 * shift)
            else:
                moved = value + 0.2 * shift * (abs(value) or 1.0)
            x.append(float(np.clip(moved, parameter.lower, parameter.upper)))
        starts.append(np.array(x))
    return starts


def _curvature(selection: Selection, x: np.ndarray) -> Curvature | None:
    if not isinstance(selection.objective, ProblemObjective):
        return None
    _, jacobian = selection.objective.linearised(x)
    return curvature(selection.objective.parameters, x, jacobian) if np.isfinite(jacobian).all() else None


def _gradient_norm(selection: Selection, x: np.ndarray) -> float:
    """|∇chi2| in typical changes of the parameters, without what pushes against a bound."""
    parameters = selection.objective.parameters
    gradient = selection.objective.gradient(x) * np.array([p.typical for p in parameters])
    held = [
        (value <= p.lower and g > 0) or (value >= p.upper and g < 0)
        for p, value, g in zip(parameters, x, gradient, strict=True)
    ]
    return float(np.linalg.norm(np.where(held, 0.0, gradient)))


def _optimizer_info(method: str, options: Mapping[str, Any] | None) -> dict[str, str]:
    library, version = library_of(method)
    shown = str((options or {}).get("method", "L-BFGS-B")) if method == "minimize" else method
    return {"method": shown, "library": library, "version": version}
