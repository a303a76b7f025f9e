"""Angles fitted one after another and combined: what the document does with angles of very different sizes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from campaign.science import Fit, InvalidValue, fit
from campaign_xpcs.api.inputs import Request
from campaign_xpcs.api.layers import residual_jacobian
from campaign_xpcs.api.modes import Scaling, problem_options
from campaign_xpcs.api.result import OptimizationResult
from campaign_xpcs.api.stratification import MOST_IMBALANCE, should_use_stratification
from campaign_xpcs.data.maps import TwoTimeMaps
from campaign_xpcs.data.parameter_table import physical_names
from campaign_xpcs.judge.combining import Combination, combine
from campaign_xpcs.model.problem import two_time_problem

_STEPS = 20  # of Gauss–Newton on the estimates


def imbalance(maps: TwoTimeMaps) -> float:
    """Points of the largest angle over those of the smallest."""
    counts = np.triu(maps.mask, 1).sum(axis=(1, 2))
    return float(counts.max() / max(int(counts.min()), 1))


def fit_angles(asked: Request, start: dict[str, float]) -> tuple[Combination, dict[str, Any]]:
    """Fit each angle alone and combine the physics by full inverse covariance; approximate.

    One angle knows the shear rate times |cos(φ0 − φ)| and neither of them alone, so φ0 is held in its fit, and found
    from the estimates of all angles together. That these are taken as Gaussian is approximate: fit all angles together
    instead, which imbalance does not disturb.

    Args:
        start: of every parameter of the physics.

    Returns:
        The combination, in the order of the free physics, and what became of each angle.

    Raises:
        InvalidValue: no angle has been fitted, or together they leave a direction free.

    Checked: tests/integration/test_xpcs_layers.py: the joint fit, where the model is linear.
    """
    estimates: list[Estimate] = []
    told = []
    names: tuple[str, ...] = ()
    for k in range(asked.maps.n_phi):
        one = _angle(asked.maps, k)
        options = problem_options(replace(asked, maps=one), Scaling(name="individual", order=2, reason=""))
        options["values"] = {**options["values"], **start}
        names = tuple(n for n in physical_names(asked.mode) if n not in options["fixed"])
        problem = two_time_problem(one, **{**options, "fixed": (*options["fixed"], *({"phi0"} & set(names)))})
        found = fit(problem, "varpro", {n: start[n] for n in names if n != "phi0"})
        is_ok = found.status == "ok" and found.outcome != "degenerate"
        phi = float(asked.maps.phi_deg[k])
        told.append({"phi_deg": phi, "outcome": found.outcome, "success": is_ok})
        if is_ok:
            own = tuple(n for n in names if n != "phi0")
            theta = np.array([found.theta[name] for name in own])
            estimates.append(Estimate(own, theta, _precision(problem, found, own), phi))
    if not estimates:
        raise InvalidValue("no angle has been fitted", hint="fit all angles together")
    both = _together(estimates, names, start)
    return both, {"angles": told, "is_approximate": True, "parameters": list(names)}


class Estimate(NamedTuple):
    """The physics of one angle, φ0 held, and its inverse covariance."""

    names: tuple[str, ...]
    theta: np.ndarray
    precision: np.ndarray
    phi_deg: float


def _together(estimates: list[Estimate], names: tuple[str, ...], start: dict[str, float]) -> Combination:
    """Gauss–Newton on the estimates; one step where φ0 is not among the parameters."""
    here = np.array([start[name] for name in names])
    means: list[np.ndarray] = []
    precisions: list[np.ndarray] = []
    for _ in range(_STEPS if "phi0" in names else 1):
        means, precisions = [], []
        for one in estimates:
            expected, slope = _expected(one, names, here, start.get("phi0", 0.0))
            means.append(here + np.linalg.pinv(slope) @ (one.theta - expected))
            precisions.append(slope.T @ one.precision @ slope)
        both = combine(np.array(means), np.array(precisions))
        here = both.mean
    return combine(np.array(means), np.array(precisions))


def _expected(
    one: Estimate, names: tuple[str, ...], here: np.ndarray, held_deg: float
) -> tuple[np.ndarray, np.ndarray]:
    """What an angle should find where the physics is `here`, and its slope: shear times cos(φ0 − φ)/cos(held − φ)."""
    values = dict(zip(names, here, strict=True))
    phi0 = values.get("phi0", held_deg)
    angle, held = np.deg2rad([phi0 - one.phi_deg, held_deg - one.phi_deg])
    share, turned = np.cos(angle) / np.cos(held), -np.sin(angle) / np.cos(held) * np.pi / 180.0
    expected, slope = np.empty(len(one.names)), np.zeros((len(one.names), len(names)))
    for i, name in enumerate(one.names):
        is_shear = name in ("gamma_dot_t0", "gamma_dot_t_offset")
        expected[i] = values[name] * (share if is_shear else 1.0)
        slope[i, names.index(name)] = share if is_shear else 1.0
        if is_shear and "phi0" in names:
            slope[i, names.index("phi0")] = values[name] * turned
    return expected, slope


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
