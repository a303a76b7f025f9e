"""A fit with the document's layers around it, as far as they are on."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from campaign.science import Fit, Problem, fit
from campaign_xpcs.api.attempts import Attempts
from campaign_xpcs.api.fitting import assembled, fitted
from campaign_xpcs.api.inputs import Request
from campaign_xpcs.api.layers import (
    VERDICTS,
    active_layers,
    hierarchical,
    monitored,
    regularized,
    reset_scaling,
    weighted,
)
from campaign_xpcs.api.modes import problem_options, scaling_of
from campaign_xpcs.api.result import OptimizationResult
from campaign_xpcs.model.problem import two_time_problem


def layered_fit(
    asked: Request, problem: Problem, start: Mapping[str, float], *, forced: str | None, about: Mapping[str, Any]
) -> OptimizationResult:
    """Fit; layers that are on come in the order 5 (weights), 3 (term), 2 (turns before), 4 (watch before).

    χ² and flags are those of the data without weights and terms. What each layer did, and what it is worth, is in
    ``device_info["layers"]``.

    Checked: tests/integration/test_xpcs_layers.py.
    """
    on, why_not = active_layers(asked, problem)
    about = {**about, "layers_not_active": why_not} if why_not else dict(about)
    if not on:
        return fitted(asked, problem, start, forced=forced, about=about)
    config, said = asked.nlsq, {name: {"verdict": VERDICTS[name]} for name in on}
    own, weights = problem, None
    if "shear_weighting" in on:
        heavier, weights = weighted(asked)
        own = two_time_problem(heavier.maps, **problem_options(heavier, scaling_of(config, heavier.maps.n_phi)))
        said["shear_weighting"]["weights"] = weights.tolist()
    if "regularization" in on:
        own, told = regularized(own, config)
        said["regularization"] |= told
    if "hierarchical" in on:
        start, told = hierarchical(problem if own is problem else own, start, config)
        said["hierarchical"] |= told
    if "gradient_monitoring" in on:
        began = time.perf_counter()
        start, told, ended = watched(own, start, config)
        said["gradient_monitoring"] |= told
        if ended is not None:
            made = Attempts(start=start)
            made.note("first", ended, "aborted", "the gradient of the physics has collapsed beside the scaling's")
            made.best_outcome = "aborted"
            device = {"recovery_actions": [], **about, "layers": said}
            return assembled(asked, own, made, device, time.perf_counter() - began, measured=problem)
    return fitted(asked, own, start, forced=forced, about={**about, "layers": said}, measured=problem, weights=weights)


def watched(
    problem: Problem, start: Mapping[str, float], config: Any
) -> tuple[dict[str, float], dict[str, Any], Fit | None]:
    """Layer 4: a fit without elimination under watch, and what its alarm leads to.

    Returns:
        Where the real fit begins; what happened; the watched fit where the response is "abort".
    """
    found = fit(problem, "trf", start, engine_options={"max_steps": config.max_iterations})
    step, ratios = monitored(problem, found, config)
    told: dict[str, Any] = {
        "alarm_at_step": step,
        "least_ratio": min(ratios, default=None),
        "outcome": found.outcome,
    }
    here = dict(start)
    if step is None:
        return here, told, None
    told["response"] = config.gradient_collapse_response
    if config.gradient_collapse_response == "abort":
        return here, told, found
    if config.gradient_collapse_response == "hierarchical":
        here, turns = hierarchical(problem, found.theta, config)
        told["hierarchical"] = turns
    elif config.gradient_collapse_response == "reset":
        here = reset_scaling(problem, found.theta)
    return here, told, None
