"""Where a fit begins: at one place, at several, or after a global search."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from campaign.science import (
    Fit,
    InvalidValue,
    Problem,
    SearchChoice,
    choose_by_starts,
    choose_search,
    fit,
    multistart,
    scale_ratio,
    screen_loss,
)
from campaign_xpcs.api.inputs import Request
from campaign_xpcs.data.cmaes_config import CMAESWrapperConfig
from campaign_xpcs.data.nlsq_config import NLSQConfig
from campaign_xpcs.model.reference import can_refer, reference_problem
from campaign_xpcs.model.starts import find_starts

N_STARTS = 16  # where nothing says where to begin
_PRESETS = {"cmaes-fast": "fast", "cmaes": "standard", "cmaes-global": "thorough"}


def compute_scale_ratio(bounds: tuple[np.ndarray, np.ndarray]) -> float:
    """Largest over smallest width of the bounds (lower, upper); parameters of no width are left out.

    With the usual bounds it is about 10⁶ whatever the data: it describes the units, not the problem.

    Raises:
        InvalidValue: bounds that are infinite, crossed, or of different shapes.
    """
    lower, upper = (np.asarray(ends, np.float64).reshape(-1) for ends in bounds)
    if lower.shape != upper.shape or not lower.size:
        raise InvalidValue(
            f"bounds have shapes {lower.shape} and {upper.shape}", hint="(lower, upper), one a parameter"
        )
    moving = [(low, high) for low, high in zip(lower.tolist(), upper.tolist(), strict=True) if low != high]
    return scale_ratio(moving) if moving else 1.0


def nonlinear_names(problem: Problem) -> tuple[str, ...]:
    """Free parameters that the engine does not eliminate."""
    linear = {name for group in problem.linear() for name in group}
    return tuple(name for name in problem.space.free_names if name not in linear)


def bounds_of(problem: Problem) -> dict[str, tuple[float, float]]:
    """Bounds of the free parameters that are not eliminated."""
    return {name: (problem.space[name].lower, problem.space[name].upper) for name in nonlinear_names(problem)}


def chosen_search(config: NLSQConfig, bounds: Mapping[str, tuple[float, float]]) -> SearchChoice:
    """Whether a fit is preceded by a search.

    enable_cmaes: CMA-ES where the scale ratio is above `scale_threshold`, or `auto_select` is off; several starts
    where it is not, whatever `enable_multi_start` says. Else several starts where `enable_multi_start` says so.

    Checked: tests/unit/xpcs/api/test_xpcs_search.py, all combinations of the flags.
    """
    return choose_search(
        enable_cmaes=config.enable_cmaes,
        enable_multi_start=config.enable_multi_start,
        scale_ratio=compute_scale_ratio(([b[0] for b in bounds.values()], [b[1] for b in bounds.values()])),  # type: ignore
        threshold=config.cmaes.scale_threshold,
        auto_select=config.cmaes.auto_select,
    )


def begun(asked: Request, problem: Problem) -> tuple[dict[str, float], dict[str, Any]]:
    """Where the fit begins, and what is said about it."""
    names = nonlinear_names(problem)
    choice = chosen_search(asked.nlsq, bounds_of(problem))
    said: dict[str, Any] = {
        "global_search": choice.search,
        "global_search_reason": choice.reason,
        "scale_ratio": choice.scale_ratio,
    }
    start = {name: v for name, v in asked.config.parameters.values.items() if name in names}
    if set(names) <= set(start):
        said["start"] = "given"
    else:
        found = good_starts(asked, problem)
        said["start"] = f"the best of {N_STARTS} starts on coarse maps, {found.n_agree} of which agree"
        start = {name: found.best[name] for name in names} | start
    if choice.search == "multistart":
        return _from_several(asked, problem, start, said)
    if choice.search == "cmaes":
        return _from_cmaes(asked, problem, start, said)
    return start, said


def good_starts(asked: Request, problem: Any):
    """Good places to start from, best first, on coarse maps."""
    table = asked.config.parameters
    return find_starts(
        asked.maps,
        mode=asked.mode,
        shear_model=asked.config.shear_model,
        integration=asked.config.integration,
        n=N_STARTS,
        seed=asked.nlsq.seed,
        values=table.values,
        bounds=dict(table.bounds),
        fixed=table.held,
    )


def _from_several(asked: Request, problem: Problem, start: dict[str, float], said: dict[str, Any]):
    config = asked.nlsq
    found = multistart(
        problem,
        "varpro" if problem.linear() else "trf",
        config.multi_start_n_starts,
        starts=[start],
        screen=config.multi_start_screen_keep_fraction if config.multi_start_use_screening else 1.0,
        refine=0,
        seed=config.multi_start_seed,
        engine_options={"max_steps": config.max_iterations, "loss": config.loss},
    )
    said |= {"n_starts": len(found.starts), "n_starts_fitted": len(found.fits)}
    if found.basins is not None:
        said["n_basins"] = len(found.basins.found)
        said["basins"] = [
            {"members": len(one.members), "delta_chi2": float(one.delta_chi2)} for one in found.basins.found
        ]
        if len(found.fits) >= 3:
            said["starts_say"] = choose_by_starts(found.basins, len(found.fits)).reason
    said["n_starts_degenerate"] = sum(one.outcome == "degenerate" for one in found.fits)
    return {name: found.best.theta[name] for name in nonlinear_names(problem)}, said


def _from_cmaes(asked: Request, problem: Problem, start: dict[str, float], said: dict[str, Any]):
    found = searched(problem, start, asked.nlsq.cmaes)
    said["cmaes"] = diagnostics(found)
    names = nonlinear_names(problem)
    return {name: found.theta[name] for name in names}, said


def searched(problem: Problem, start: Mapping[str, float], config: CMAESWrapperConfig) -> Fit:
    """The global search alone: what it gives has no errors.

    Two-time maps are searched in the coordinates of `ReferenceProblem`, unless some of their physics is held.

    Checked: tests/unit/xpcs/test_xpcs_reference.py.
    """
    options = {
        "preset": _PRESETS[config.preset],
        "generations": config.max_generations,
        "popsize": config.popsize,
        "sigma": config.sigma,
        "tolfun": config.tol_fun,
        "tolx": config.tol_x,
        "max_restarts": config.max_restarts if config.restart_strategy == "bipop" else 0,
        "batch": config.population_batch_size,
    }
    if not can_refer(problem):
        return fit(problem, "cmaes", start, seed=config.seed, engine_options=options)
    other, begin = reference_problem(problem, start)  # pyright: ignore[reportArgumentType]
    found = fit(other, "cmaes", begin, seed=config.seed, engine_options=options)
    theta = {**found.theta, **other.given(found.theta)}
    places = [
        {name: where.get(name, problem.space[name].initial) for name in other.given_names} for where in (start, theta)
    ]
    losses = screen_loss(problem, "varpro" if problem.linear() else "trf", places)
    before, after = np.where(np.isnan(losses), np.inf, losses).tolist()
    if before < after:  # the start was beyond the ranges, and better
        theta |= places[0]
    return replace(found, theta=theta, loss=min(before, after), loss_initial=before)


def diagnostics(found: Fit) -> dict[str, Any]:
    """What a search says of itself, by the document's names.

    `chi_squared_improvement` is the part of the start's χ² that is gone; a search that found nothing better has 0.
    """
    before, after = float(found.loss_initial), float(found.loss)
    gain = (before - after) / before if np.isfinite(before) and before > 0 else float("nan")
    descents = found.trace.get("descent")
    return {
        "generations": found.n_steps,
        "evaluations": found.n_evaluations,
        "restarts": 0 if descents is None else int(np.max(descents)),
        "chi_squared_improvement": max(gain, 0.0) if np.isfinite(gain) else gain,
        "outcome": found.outcome,
    }
