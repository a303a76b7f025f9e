"""Climate: calibration of the two-layer energy balance model on observed warming and ocean heat.

`campaign_climate.plugin:TWO_LAYER` is what `campaign` loads. The functions of the API are imported when they are named:
importing this package imports no JAX.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_WHERE = {
    "api.calibration": ("ClimateWarning", "calibration"),
    "api.estimator": ("Optimizer", "PointEstimateResult", "PointEstimator"),
    "api.models": ("Model", "ModelBuilder", "TwoLayerComponent"),
    "api.runner": ("ModelRunner",),
    "api.sampler": ("EnsembleSampler", "WalkerInit"),
    "data.forcing": ("Forcing", "forcing"),
    "data.observed": ("observed",),
    "data.parameter_sets": ("parameter_sets",),
    "data.ranges": ("SplitNormal", "assessed"),
    "figures.bands": ("bands",),
    "judge.fit": ("fit_metrics",),
    "model.likelihood": ("GaussianLikelihood",),
    "model.synthetic": ("truth",),
    "model.target": ("Target",),
    "plugin": ("TWO_LAYER",),
}
_MODULE = {name: f"campaign_climate.{module}" for module, names in _WHERE.items() for name in names}
_PRIORS = ("Bound", "LogNormal", "LogUniform", "Normal", "ParameterSet", "TruncatedNormal", "Uniform")
_MODULE |= dict.fromkeys(("Chain", *_PRIORS), "campaign.science")
__all__ = sorted(_MODULE)


def __getattr__(name: str) -> Any:
    if name not in _MODULE:
        raise AttributeError(f"module `campaign_climate` has no `{name}`")
    return getattr(import_module(_MODULE[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *_MODULE]
