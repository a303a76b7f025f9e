"""What a fit gives: the document's `OptimizationResult`. No JAX."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

from campaign_xpcs.judge.flags import Evidence, Quality, judge_quality


@dataclass(frozen=True, kw_only=True, eq=False)
class OptimizationResult:
    """The result of a fit, by the document's names. Nothing of it can be changed afterwards.

    Attributes:
        parameters: [contrast_0 …, offset_0 …, physical parameters]; scaling as it was fitted.
        uncertainties: √ of the diagonal of the covariance; NaN where the data say nothing.
        covariance: of the free parameters and 0 for those that were held; with default errors, times reduced χ².
        chi_squared: Σ r² of the linear loss, over pairs i < j.
        reduced_chi_squared: χ² / (independent unmasked points − free parameters).
        success: the outcome is "converged"; it follows from the outcome alone.
        message, iterations, execution_time: how it ended, steps, wall time [s].
        convergence_status: "converged", "partial", "failed".
        quality_flag: "good", "marginal", "poor".
        device_info: `adapter`, `fallback_occurred`, `strategy`, `recovery_actions`, `peak_memory_gb`, `n_chunks` of the
            document, and what else is known: `outcome`, `quality_reasons`, `global_search`, `notes`, …
        names: of the parameters, in order.
        free: those that moved.
        n_data: independent points that counted.
        maps_info: angles, q, gap, dt, mode, shear model: what the parameters belong to.

    Source: the design document, section 11.
    Checked: tests/unit/xpcs/api/test_xpcs_result.py.
    """

    parameters: Float[np.ndarray, " d"]
    uncertainties: Float[np.ndarray, " d"]
    covariance: Float[np.ndarray, "d d"]
    chi_squared: float
    reduced_chi_squared: float
    success: bool
    message: str
    iterations: int
    execution_time: float
    convergence_status: str
    quality_flag: str
    device_info: Mapping[str, Any]
    names: tuple[str, ...]
    free: tuple[str, ...]
    n_data: int
    sigma_is_default: bool = False
    maps_info: Mapping[str, Any] = field(default_factory=dict)

    @property
    def values(self) -> dict[str, float]:
        """Parameter → value."""
        return dict(zip(self.names, self.parameters.tolist(), strict=True))

    @property
    def errors(self) -> dict[str, float]:
        """Free parameter → uncertainty."""
        found = dict(zip(self.names, self.uncertainties.tolist(), strict=True))
        return {name: found[name] for name in self.free}

    @property
    def dof(self) -> int:
        """Independent points that counted less parameters that were fitted."""
        return self.n_data - len(self.free)

    def as_json(self) -> dict[str, Any]:
        """All of it as JSON knows it: NaN is null."""
        return {
            "parameters": {n: _number(v) for n, v in self.values.items()},
            "uncertainties": {n: _number(v) for n, v in self.errors.items()},
            "covariance": {"names": list(self.names), "values": [[_number(v) for v in row] for row in self.covariance]},
            "chi_squared": _number(self.chi_squared),
            "reduced_chi_squared": _number(self.reduced_chi_squared),
            "n_data": self.n_data,
            "degrees_of_freedom": self.dof,
            "sigma_is_default": self.sigma_is_default,
            "success": self.success,
            "message": self.message,
            "iterations": self.iterations,
            "execution_time": self.execution_time,
            "convergence_status": self.convergence_status,
            "quality_flag": self.quality_flag,
            "device_info": plain(self.device_info),
            "data": plain(self.maps_info),
        }


def build_result(
    *,
    names: tuple[str, ...],
    free: tuple[str, ...],
    parameters: np.ndarray,
    covariance: np.ndarray,
    chi_squared: float,
    n_data: int,
    evidence: Evidence,
    message: str,
    iterations: int,
    execution_time: float,
    device_info: Mapping[str, Any],
    maps_info: Mapping[str, Any],
) -> OptimizationResult:
    """A result whose status, flag and success follow from the evidence.

    Args:
        covariance: of the free parameters (f, f), absolute.
    """
    quality: Quality = judge_quality(evidence)
    dof = n_data - len(free)
    full = np.zeros((len(names), len(names)))
    at = [names.index(name) for name in free]
    full[np.ix_(at, at)] = covariance
    with np.errstate(invalid="ignore"):
        errors = np.sqrt(np.diag(full))
    errors[at] = np.where(np.diag(covariance) > 0, errors[at], np.nan)  # an error of 0 would say: known exactly
    return OptimizationResult(
        parameters=np.asarray(parameters, np.float64),
        uncertainties=errors,
        covariance=full,
        chi_squared=float(chi_squared),
        reduced_chi_squared=float(chi_squared) / dof if dof > 0 else float("nan"),
        success=quality.success,
        message=message,
        iterations=iterations,
        execution_time=execution_time,
        convergence_status=quality.status,
        quality_flag=quality.flag,
        device_info={**device_info, "outcome": evidence.outcome, "quality_reasons": list(quality.reasons)},
        names=names,
        free=free,
        n_data=n_data,
        sigma_is_default=evidence.sigma_is_default,
        maps_info=maps_info,
    )


def plain(value: Any) -> Any:
    """Numbers, text, lists and mappings only; NaN and infinity become null."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, (bool, str)) or value is None:
        return value
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return _number(float(value))
    return str(value)


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
