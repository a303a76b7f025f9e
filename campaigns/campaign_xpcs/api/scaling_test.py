"""Whether a fit whose scaling has fewer parameters describes the data as well as contrast and offset of each angle."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from campaign.science import fit
from campaign_xpcs.api.inputs import Request
from campaign_xpcs.api.modes import Scaling, problem_options
from campaign_xpcs.api.result import OptimizationResult
from campaign_xpcs.judge.nested import nested_test
from campaign_xpcs.model.problem import two_time_problem


def tested_scaling(asked: Request, problem: Any, result: OptimizationResult) -> OptimizationResult:
    """The result with an F-test of its scaling in ``device_info["scaling_test"]``.

    A fit with scaling "averaged", "fourier" or "fixed" is compared with one with contrast and offset of each angle,
    from its optimum. Where that is better by more than chance (p < 10⁻³), the fit is not good.

    Checked: tests/integration/test_xpcs_nlsq.py: contrasts that differ reject one contrast for all, at p < 10⁻⁶.
    """
    needed = problem.scaling in ("averaged", "fourier", "fixed") and asked.maps.n_phi > 1
    if not needed or not result.chi_squared > 0 or result.convergence_status == "failed":
        return result
    options = problem_options(asked, Scaling(name="individual", order=2, reason=""))
    larger = two_time_problem(asked.maps, **options)
    if len(larger.space.free_names) <= len(result.free) or asked.maps.n_points <= len(larger.space.free_names):
        return result
    known = {name: value for name, value in result.values.items() if name in larger.space.names}
    found = fit(larger, "varpro", known)
    test = nested_test(
        result.chi_squared,
        len(result.free),
        min(float(found.metric["chi2"]), result.chi_squared),
        len(larger.space.free_names),
        asked.maps.n_points,
    )
    said = {
        "against": "individual",
        "chi_squared_individual": float(found.metric["chi2"]),
        "f": test.f,
        "p_value": test.p_value,
        "is_rejected": test.is_rejected,
    }
    device = {**result.device_info, "scaling_test": said}
    if not test.is_rejected:
        return replace(result, device_info=device)
    reason = f"scaling {problem.scaling} is rejected: F = {test.f:.3g}, p = {test.p_value:.1e} against individual"
    device["quality_reasons"] = [*device["quality_reasons"], reason]
    flag = "marginal" if result.quality_flag == "good" else result.quality_flag
    return replace(result, device_info=device, quality_flag=flag)
