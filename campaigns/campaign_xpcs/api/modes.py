"""The document's modes of contrast and offset, and parameters, as options of the problem. No JAX."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from campaign_xpcs.api.inputs import Request
from campaign_xpcs.data.nlsq_config import NLSQConfig

_SAME = {
    "individual": "individual",
    "fourier": "fourier",
    "constant": "fixed",
    "auto_averaged": "averaged",
    "averaged": "averaged",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaling:
    """How contrast and offset depend on the angle, and why."""

    name: str
    order: int
    reason: str


def scaling_of(config: NLSQConfig, n_phi: int) -> Scaling:
    """What a mode means.

    ``auto`` is individual: with the scaling eliminated, nothing is gained by fewer of its parameters. With compat
    "document" it is fourier above `fourier_auto_threshold` angles. ``constant`` holds contrast and offset where the
    data show them; ``auto_averaged`` fits one of each. Only what is fitted counts as a parameter.

    Checked: tests/unit/xpcs/api/test_xpcs_modes.py, the table.
    """
    order, mode = config.fourier_order, config.per_angle_mode
    if not config.per_angle_scaling:
        return Scaling(name="averaged", order=order, reason="per_angle_scaling is false: one contrast and one offset")
    if mode != "auto":
        return Scaling(name=_SAME[mode], order=order, reason=f"per_angle_mode {mode}")
    if config.compat == "document" and n_phi > config.fourier_auto_threshold:
        reason = f"auto, compat document: {n_phi} angles, more than {config.fourier_auto_threshold}"
        return Scaling(name="fourier", order=order, reason=reason)
    return Scaling(name="individual", order=order, reason="auto: contrast and offset of each angle, eliminated")


def problem_options(request: Request, scaling: Scaling) -> dict[str, Any]:
    """What `two_time_problem` is given, except the maps."""
    table = request.config.parameters
    fixed_scaling = (table.contrast, table.offset) if table.contrast and table.offset else None
    physical = _known(table.bounds, scaling)
    return {
        "mode": request.mode,
        "shear_model": request.config.shear_model,
        "integration": request.config.integration,
        "scaling": scaling.name,
        "order": scaling.order,
        "values": dict(table.values),
        "bounds": physical,
        "fixed": table.held,
        "fixed_scaling": fixed_scaling if scaling.name == "fixed" else None,
    }


def _known(bounds: Mapping[str, tuple[float, float]], scaling: Scaling) -> dict[str, tuple[float, float]]:
    """Bounds of contrast and offset mean nothing to a Fourier series or to fixed scaling."""
    without = ("contrast", "offset") if scaling.name in ("fourier", "fixed") else ()
    return {name: ends for name, ends in bounds.items() if name not in without}
