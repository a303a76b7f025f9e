"""Angles fitted one after another and combined: what the document does with angles of very different sizes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from campaign.science import Fit, InvalidValue, fit
from campaign_xpcs.api.inputs import Request
from campaign_xpcs.api.layers import residual_jacobian
from campaign_xpcs.api.modes import Scaling, problem_options
from campaign_xpcs.api.result import OptimizationResult
from campaign_xpcs.api.stratification import MOST_IMBALANCE, should_use_stratification
from campaign_xpcs.data.maps import TwoTimeMaps
from campaign_xpcs.judge.combining import Combination, combine
from campaign_xpcs.model.problem import two_time_problem


def imbalance(maps: TwoTimeMaps) -> float:
    """Points of the largest angle over those of the smallest."""
    counts = np.triu(maps.mask, 1).sum(axis=(1, 2))
    return float(counts.max() / max(int(counts.min()), 1))


def fit_angles(asked: Request, start: dict[str, float]) -> tuple[Combination, dict[str, Any]]:
    """Fit each angle alone and combine the physics by full inverse covariance; approximate.

    One angle knows γ̇ and φ0 only together: its precision is singular, and it says nothing about what it does not know.
    Far from a common optimum the combination is linear where the model is not: fit all angles together instead, which
    imbalance does not disturb.

    Returns:
        The combination, in the order of the free physics, and what became of each angle.

    Raises:
        InvalidValue: no angle has been fitted, or together they leave a direction free.

    Checked: tests/integration/test_xpcs_layers.py: within its errors of the joint fit.
    """
    means, precisions, told = [], [], []
    names: tuple[str, ...] = ()
    for k in range(asked.maps.n_phi):
        one = _angle(asked.maps, k)
        options = problem_options(replace(asked, maps=one), Scaling(name="individual", order=2, reason=""))
        problem = two_time_problem(one, **options)
        found = fit(problem, "varpro", start)
        linear = {name for group in problem.linear() for name in group}
        names = tuple(name for name in problem.space.free_names if name not in linear)
        is_ok = found.outcome in ("converged", "stalled", "budget")
        told.append({"phi_deg": float(asked.maps.phi_deg[k]), "outcome": found.outcome, "success": is_ok})
        if is_ok:
            means.append([found.theta[name] for name in names])
            precisions.append(_precision(problem, found, names))
    if not means:
        raise InvalidValue("no angle has been fitted", hint="fit all angles together")
    both = combine(np.array(means), np.array(precisions))
    return both, {"angles": told, "is_approximate": True, "parameters": list(names)}


def with_angles(asked: Request, result: OptimizationResult) -> OptimizationResult:
    """With compat "document", above imbalance 5: the angles one by one too, in ``device_info["sequential_per_angle"]``.

    The result stays the fit of all angles together, which is exact.
    """
    is_individual = result.maps_info["scaling"] == "individual"
    ratio = imbalance(asked.maps)
    uses, reason = should_use_stratification(asked.maps.n_points, asked.maps.n_phi, is_individual, ratio)
    if asked.nlsq.compat != "document" or uses or ratio <= MOST_IMBALANCE or "one after another" not in reason:
        return result
    try:
        both, told = fit_angles(asked, {k: v for k, v in result.values.items() if "[" not in k})
        told |= {"mean": both.mean.tolist(), "sd": np.sqrt(np.diag(both.covariance)).tolist(), "p_value": both.p_value}
    except InvalidValue as error:
        told = {"failed": str(error)}
    device = {**result.device_info, "sequential_per_angle": {**told, "reason": reason}}
    return replace(result, device_info=device)


def _angle(maps: TwoTimeMaps, k: int) -> TwoTimeMaps:
    own = slice(k, k + 1)
    sigma = maps.sigma[own] if maps.sigma.ndim else maps.sigma
    return replace(maps, c2=maps.c2[own], mask=maps.mask[own], sigma=sigma, phi_deg=maps.phi_deg[own])


def _precision(problem: Any, found: Fit, names: tuple[str, ...]) -> np.ndarray:
    """What an angle knows of the physics beside its unknown contrast and offset; directions it does not know are 0."""
    free = problem.space.free_names
    theta = np.array([found.theta[name] for name in problem.space.names])
    jacobian = residual_jacobian(problem, theta, free)
    is_physical = np.isin(free, names)
    q, _ = np.linalg.qr(jacobian[:, ~is_physical])
    own = jacobian[:, is_physical]
    own = own - q @ (q.T @ own)
    scale = np.linalg.norm(own, axis=0)
    safe = np.where(scale > 0, scale, 1.0)
    _, values, rows = np.linalg.svd(own / safe, full_matrices=False)
    values = np.where(values > 1e-7 * values.max(), values, 0.0)
    whole = rows.T @ (values[:, None] ** 2 * rows)
    return whole * np.outer(safe, safe)
