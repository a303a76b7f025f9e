"""Cosmology: background fits of dark energy and PBUF to CMB distance priors, BAO, supernovae and data of one's own.

`campaign_cosmology.plugin:COSMOLOGY` is what `campaign` loads. The functions of the API are imported when they are
named: importing this package imports no JAX.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_WHERE = {
    "api.fitting": ("run_fit",),
    "api.optimizer": ("ParameterOptimizer", "optimize_cmb_parameters"),
    "api.parameter_store": ("OptimizedParameterStore", "propagate_optimized_parameters"),
    "api.parameters": ("DEFAULTS", "build_params", "get_defaults", "validate_params"),
    "api.likelihoods": (
        "LIKELIHOOD_FUNCTIONS",
        "gaussian_resample",
        "likelihood_bao",
        "likelihood_bao_ani",
        "likelihood_cmb",
        "likelihood_prior",
        "likelihood_sn",
    ),
    "api.datasets": (
        "DATASET_LOADERS",
        "gaussian_dataset",
        "get_dataset_info",
        "load_dataset",
        "own_data",
        "validate_dataset",
    ),
    "api.own_priors": ("own_posterior", "own_prior"),
    "api.distances": ("D_A", "D_H", "D_L", "D_M", "D_V", "H", "mu", "r_d"),
    "api.statistics": ("chi2_generic", "compute_dof", "compute_metrics", "delta_aic"),
    "api.integrity": (
        "run_integrity_suite",
        "verify_covariance_matrices",
        "verify_h_ratios",
        "verify_recombination",
    ),
    "api.run_log": ("format_results_table", "log_diagnostics", "log_run"),
    "api.registered": ("registered_problem",),
    "api.reproduction": ("Reproduction", "verify_reproducibility"),
    "api.tuning": ("tune_optimizer",),
    "api.record": ("to_json",),
    "api.results": (
        "CMBOptimizationResult",
        "OptimizationRecord",
        "OptimizationResult",
        "ParameterDict",
        "ResultsDict",
    ),
    "api.selection": ("select",),
    "judge.comparison": ("compare",),
    "judge.robustness": ("bootstrap", "jackknife", "leave_one_dataset_out"),
    "judge.statistics": ("MetricsDict",),
    "judge.tension": ("parameter_difference", "reweight", "suspiciousness", "worse_together"),
    "judge.uncertainty": ("profile", "profile_error"),
    "model.objectives": ("OBJECTIVES",),
    "model.optimizers": ("OPTIMIZERS",),
    "model.warning": ("CosmologyWarning",),
    "plugin": ("COSMOLOGY",),
}
_MODULE = {name: module for module, names in _WHERE.items() for name in names}
__all__ = sorted(_MODULE)


def __getattr__(name: str) -> Any:
    if name not in _MODULE:
        raise AttributeError(f"module `campaign_cosmology` has no `{name}`")
    return getattr(import_module(f"campaign_cosmology.{_MODULE[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *_MODULE]
