"""What fits give back: the records and dictionaries of the API, under the documents' keys. No JAX."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NotRequired, TypedDict

from campaign_cosmology.api.record import Record
from campaign_cosmology.judge.statistics import MetricsDict

ParameterDict = dict[str, Any]
"""Parameters, derived quantities and conventions of one model: see `parameters.build_params`."""


class BlockResult(TypedDict):
    """One data set in a fit: `residuals` are model − data, `pulls` are residuals over the errors on the diagonal."""

    chi2: float
    predictions: dict[str, float]
    residuals: list[float]
    pulls: dict[str, float]


class DerivedValue(TypedDict):
    """What follows from a fit: its value, its error where the data fix it, its unit."""

    value: float
    stderr: float | None
    unit: str


class ResultsDict(TypedDict):
    """What `run_fit` returns. `blinded`: the parameters that are shown shifted, where any are."""

    params: ParameterDict
    results: dict[str, BlockResult]
    metrics: MetricsDict
    diagnostics: dict[str, Any]
    provenance: dict[str, Any]
    optimization: NotRequired[dict[str, Any]]
    derived: NotRequired[dict[str, DerivedValue]]
    blinded: NotRequired[list[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizationResult(Record):
    """What an optimisation found.

    Attributes:
        final_chi2: at the optimum. chi2_improvement: chi2 at the start minus that.
        convergence_status: "success", "failed" or "max_iter".
        bounds_reached: names of the parameters at a bound. bound_sides: which one, {"k_sat": "lower"}.
        optimizer_info: method, library, version.
        stderr: one-sigma errors from the curvature; None for a parameter at a bound or without information.
        unidentified: parameters that the data do not constrain.
        n_iterations, gradient_norm: gradient of chi2 in units of the parameters' typical changes, bounds respected.
        metadata: conventions, data hashes, message, time stamp, effective number of parameters, the ``covariance`` of
            the parameters that have errors …
    """

    model: str
    optimized_params: dict[str, float]
    starting_params: dict[str, float]
    final_chi2: float
    chi2_improvement: float
    convergence_status: str
    n_function_evaluations: int
    optimization_time: float
    bounds_reached: list[str]
    optimizer_info: dict[str, str]
    covariance_scaling: float
    metadata: dict[str, Any] = field(default_factory=dict)
    stderr: dict[str, float | None] = field(default_factory=dict)
    unidentified: list[str] = field(default_factory=list)
    n_iterations: int = 0
    gradient_norm: float = 0.0
    bound_sides: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizationRecord(Record):
    """One entry of a model's optimisation history."""

    timestamp: str
    model: str
    dataset: str
    optimized_params: list[str]
    final_values: dict[str, float]
    chi2_improvement: float
    convergence_status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CMBOptimizationResult(Record):
    """What `optimize_cmb_parameters` found."""

    model: str
    optimized_params: dict[str, float]
    cmb_chi2: float
    chi2_improvement: float
    convergence_diagnostics: dict[str, Any]
    parameter_bounds_info: dict[str, Any]
    provenance: dict[str, Any]

    def __post_init__(self) -> None:
        """Bounds are pairs, those that come from JSON as well."""
        used = self.parameter_bounds_info.get("bounds_used", {})
        pairs = {"bounds_used": {name: tuple(pair) for name, pair in used.items()}}
        object.__setattr__(self, "parameter_bounds_info", {**self.parameter_bounds_info, **pairs})
