"""The document's layers 2 to 5 around a fit. None is on by default; each says what it did, and what it is worth.

Layer 1, Fourier series, is ``per_angle_mode="fourier"``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from campaign.science import Fit, Problem, fit
from campaign_xpcs.api.inputs import Request
from campaign_xpcs.api.search import nonlinear_names
from campaign_xpcs.judge.collapse import Watch, first_alarm, gradient_ratio
from campaign_xpcs.judge.likeness import Alike, tuned_lambda
from campaign_xpcs.judge.shear_weights import sandwich, shear_weights

VERDICTS = {
    "hierarchical": "block coordinate descent converges linearly to what elimination finds in one go",
    "regularization": "the minimum is that of χ² and a wish together: real differences of contrast are pulled together",
    "gradient_monitoring": "with the scaling eliminated its gradient is 0 at every step, and no alarm can sound",
    "shear_weighting": "nothing cancels, the signal has one sign at all angles; weights other than 1/σ² lose precision",
}


def active_layers(asked: Request, problem: Problem) -> tuple[list[str], list[str]]:
    """Layers that are on, and why others that were asked for are not: the document's conditions.

    Layers act on laminar flow with more than 3 angles and scaling by angle.
    """
    config = asked.nlsq
    wanted = [name for name in VERDICTS if getattr(config, f"enable_{name}")]
    if not wanted:
        return [], []
    why = []
    if asked.mode != "laminar_flow":
        why.append("the mode has no shear")
    if asked.maps.n_phi <= 3:
        why.append(f"{asked.maps.n_phi} angles, not more than 3")
    if getattr(problem, "scaling", "") != "individual":
        why.append("the scaling is not one of each angle")
    if why:
        return [], [f"{name} is not active: {'; '.join(why)}" for name in wanted]
    return wanted, []


def weighted(asked: Request) -> tuple[Request, np.ndarray]:
    """Layer 5: the request with σ_k/√w_k, and the weights. φ0 in w is the start's, and does not follow the fit."""
    config, maps = asked.nlsq, asked.maps
    phi0 = asked.config.parameters.values.get("phi0", 0.0)
    weights = shear_weights(
        maps.phi_deg,
        phi0,
        min_weight=config.shear_min_weight,
        alpha=config.shear_alpha,
        normalize=config.shear_normalize,
    )
    sigma = maps.sigma if maps.sigma.ndim == 3 else np.broadcast_to(maps.sigma, (maps.n_phi,)).copy()
    root = np.sqrt(weights)
    return replace(asked, maps=replace(maps, sigma=sigma / (root if sigma.ndim == 1 else root[:, None, None]))), weights


def weighted_covariance(problem: Any, theta: np.ndarray, weights: np.ndarray, free: tuple[str, ...]) -> np.ndarray:
    """Covariance of an estimate with weights, from the residuals of the problem without."""
    jacobian = residual_jacobian(problem, theta, free).reshape(len(weights), -1, len(free))
    return sandwich(np.einsum("kni,knj->kij", jacobian, jacobian), weights)


def residual_jacobian(problem: Problem, theta: np.ndarray, free: tuple[str, ...]) -> np.ndarray:
    """∂r/∂theta of the free parameters, (n, f)."""
    at = jnp.asarray([problem.space.index(name) for name in free])
    return np.asarray(_slopes(problem, jnp.asarray(theta), at))


@jax.jit
def _slopes(problem: Problem, theta: Any, at: Any) -> Any:
    return jax.jacfwd(lambda x: problem.residuals(theta.at[at].set(x)))(theta[at])


def hierarchical(problem: Problem, start: Mapping[str, float], config: Any) -> tuple[dict[str, float], dict[str, Any]]:
    """Layer 2: physics with scaling frozen, scaling with physics frozen, in turn, each by L-BFGS.

    Returns:
        Where it ended, and what it did: χ² after each turn, evaluations.
    """
    physical = nonlinear_names(problem)
    scaling = tuple(name for name in problem.space.free_names if name not in physical)
    here = dict(start)
    history: list[float] = []
    evaluations = 0
    for _ in range(config.hierarchical_max_outer_iterations):
        before = here
        for names, most, tolerance in (
            (physical, config.hierarchical_physical_max_iterations, 1e-8),
            (scaling, config.hierarchical_per_angle_max_iterations, 1e-6),
        ):
            if not names:
                continue
            options = {"max_steps": most, "ftol": tolerance}
            found = fit(problem, "lbfgs", here, free=names, engine_options=options)
            evaluations += found.n_evaluations
            here = dict(found.theta)
        history.append(2.0 * found.loss)
        moved = max(abs(here[n] - before.get(n, np.inf)) / max(abs(here[n]), 1e-300) for n in physical)
        if moved <= config.hierarchical_outer_tolerance:
            break
    return here, {"chi_squared": history, "turns": len(history), "evaluations": evaluations}


def regularized(problem: Problem, config: Any) -> tuple[Problem, dict[str, Any]]:
    """Layer 3: the problem with contrasts, and offsets, pulled together."""
    names = problem.space.names
    groups = [[i for i, name in enumerate(names) if name.startswith(f"{stem}[")] for stem in ("contrast", "offset")]
    strength = config.group_variance_lambda
    if config.regularization_auto_tune_lambda or config.regularization_mode == "auto":
        strength = tuned_lambda(config.regularization_target_contribution, config.regularization_target_cv)
    mode = "absolute" if config.regularization_mode == "absolute" else "relative"
    said = {"lambda": strength, "mode": mode}
    return Alike.of(problem, jnp.asarray(groups), strength, mode), said


def monitored(problem: Problem, found: Fit, config: Any) -> tuple[int | None, list[float]]:
    """Layer 4: the step at which the alarm sounds, or None, and the ratios of the steps that were looked at."""
    free = problem.space.free_names
    physical = np.isin(free, nonlinear_names(problem))
    thetas = np.asarray(found.trace["theta"])
    at = [problem.space.index(name) for name in free]
    base = np.array([found.theta[name] for name in problem.space.names])
    ratios = []
    for row in thetas:
        place = base.copy()
        place[at] = row[at] if row.shape[-1] == len(base) else row
        jacobian = residual_jacobian(problem, place, free)
        residuals = np.asarray(jax.jit(lambda own, x: own.residuals(x))(problem, jnp.asarray(place)))
        ratios.append(gradient_ratio(residuals, jacobian, physical))
    watch = Watch(threshold=config.gradient_ratio_threshold, triggers=config.gradient_consecutive_triggers)
    return first_alarm(np.array(ratios), watch), ratios


def reset_scaling(problem: Problem, theta: Mapping[str, float]) -> dict[str, float]:
    """The place with every contrast, and every offset, at their mean."""
    found = dict(theta)
    for stem in ("contrast", "offset"):
        names = [name for name in problem.space.names if name.startswith(f"{stem}[")]
        if names:
            mean = float(np.mean([theta[name] for name in names]))
            found |= dict.fromkeys(names, mean)
    return found
