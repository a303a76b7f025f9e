"""Where a fit begins: from one place, from several, or after a global search. No JAX."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from campaign.science import InvalidValue
from campaign_xpcs.data.nlsq_config import NLSQConfig

Kind = Literal["local", "multistart", "cmaes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchChoice:
    """What was chosen, and why."""

    kind: Kind
    reason: str
    scale_ratio: float


def compute_scale_ratio(bounds: tuple[np.ndarray, np.ndarray]) -> float:
    """Largest over smallest width of the bounds.

    With the usual bounds it is about 10⁶ whatever the data: it describes the units, not the problem.

    Raises:
        InvalidValue: bounds that are infinite, crossed, or of different shapes.
    """
    lower, upper = (np.asarray(ends, np.float64).reshape(-1) for ends in bounds)
    if lower.shape != upper.shape or not lower.size:
        raise InvalidValue(
            f"bounds have shapes {lower.shape} and {upper.shape}", hint="(lower, upper), one a parameter"
        )
    width = upper - lower
    if not (np.isfinite(width) & (width >= 0)).all():
        at = int(np.argmin(np.where(np.isfinite(width), width, -np.inf)))
        raise InvalidValue(
            f"bounds of parameter {at} are {lower[at]:g} and {upper[at]:g}", hint="finite, lower < upper"
        )
    moving = width[width > 0]
    return float(moving.max() / moving.min()) if len(moving) > 1 else 1.0


def choose_search(config: NLSQConfig, bounds: Mapping[str, tuple[float, float]]) -> SearchChoice:
    """Whether a fit is preceded by a search.

    enable_cmaes: CMA-ES where the scale ratio is above `scale_threshold`, or `auto_select` is off; several starts
    where it is not, whatever `enable_multi_start` says. Else several starts where `enable_multi_start` says so.

    Args:
        bounds: of the parameters that move and are not eliminated.

    Checked: tests/unit/xpcs/api/test_search.py, all combinations of the flags.
    """
    ratio = compute_scale_ratio((np.array([b[0] for b in bounds.values()]), np.array([b[1] for b in bounds.values()])))
    threshold = config.cmaes.scale_threshold
    if config.enable_cmaes and not config.cmaes.auto_select:
        return SearchChoice(kind="cmaes", reason="CMA-ES is enabled and auto_select is off", scale_ratio=ratio)
    if config.enable_cmaes and ratio > threshold:
        reason = f"CMA-ES is enabled, scale ratio {ratio:.3g} above {threshold:g}"
        return SearchChoice(kind="cmaes", reason=reason, scale_ratio=ratio)
    if config.enable_cmaes:
        reason = f"CMA-ES is enabled, but the scale ratio {ratio:.3g} is not above {threshold:g}: several starts"
        return SearchChoice(kind="multistart", reason=reason, scale_ratio=ratio)
    if config.enable_multi_start:
        return SearchChoice(kind="multistart", reason="several starts are enabled", scale_ratio=ratio)
    return SearchChoice(kind="local", reason="no search is enabled", scale_ratio=ratio)
