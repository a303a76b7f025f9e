"""X-ray photon correlation spectroscopy: diffusion and shear from two-time correlation maps.

`campaign_xpcs.plugin:XPCS` is what `campaign` loads. The functions of the API are imported when they are named:
importing this package imports no JAX.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_WHERE = {
    "data.choosing": ("block_averaged", "corrected_diagonal"),
    "data.hdf5": ("contents", "read_hdf5"),
    "data.maps": ("TwoTimeMaps", "two_time_maps"),
    "data.yaml_config": ("load_config",),
    "data.nlsq_config": ("NLSQConfig",),
    "data.cmaes_config": ("CMAESWrapperConfig",),
    "data.cmc_config": ("CMCConfig",),
    "api.nlsq": ("fit_nlsq_jax", "fit_nlsq_multistart", "fit_with_cmaes"),
    "api.cmc": ("fit_mcmc_jax",),
    "api.cmc_result": ("CMCResult",),
    "api.cmaes": ("CMAESResult", "CMAESWrapper"),
    "api.result": ("OptimizationResult",),
    "api.strategy": ("NLSQStrategy", "select_nlsq_strategy"),
    "api.stratification": (
        "create_angle_stratified_data",
        "create_angle_stratified_indices",
        "should_use_stratification",
    ),
    "api.wavevectors": ("Series", "Wavevectors", "wavevectors"),
    "data.reading": ("read_maps",),
    "data.stored_maps": ("StoredMaps", "stored_hdf5", "stored_maps"),
    "data.scaling": ("far_lag_sigma", "quantile_scaling", "with_far_lag_sigma"),
    "data.units": ("gap_in_angstrom", "q_in_inverse_angstrom"),
    "data.writing": ("read_npz", "write_hdf5", "write_npz"),
    "judge.comparing": ("Comparison", "absorbed", "f_test"),
    "judge.quality": ("Quality", "newton_decrement", "quality"),
    "judge.rates": ("Band", "rate_bands"),
    "judge.resampling": ("Resampled", "angle_jackknife", "frame_bootstrap"),
    "model.marginal": ("MarginalProblem", "marginal_problem"),
    "model.problem": ("two_time_problem",),
    "model.simulated": ("simulated_maps",),
    "model.starts": ("Starts", "find_starts"),
    "model.two_time": ("TwoTimeProblem",),
    "plugin": ("XPCS",),
}
_MODULE = {name: f"campaign_xpcs.{module}" for module, names in _WHERE.items() for name in names}
__all__ = sorted(_MODULE)


def __getattr__(name: str) -> Any:
    if name not in _MODULE:
        raise AttributeError(f"module `campaign_xpcs` has no `{name}`")
    return getattr(import_module(_MODULE[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *_MODULE]
