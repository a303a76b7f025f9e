"""What a call of `fit_nlsq_jax` or `fit_mcmc_jax` is given: data in any of three forms, and settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from campaign.science import InvalidValue, UsageError, nearest
from campaign_xpcs.data.cmc_config import CMCConfig
from campaign_xpcs.data.maps import TwoTimeMaps, two_time_maps
from campaign_xpcs.data.nlsq_config import NLSQConfig
from campaign_xpcs.data.parameter_table import ParameterTable
from campaign_xpcs.data.pooled import pooled_maps
from campaign_xpcs.data.scaling import with_far_lag_sigma
from campaign_xpcs.data.yaml_config import MODES, Optimization, XpcsConfig, parse_config

_NAMES = {
    "phi_angles_list": "phi",
    "phi": "phi",
    "c2_exp": "g2",
    "g2": "g2",
    "wavevector_q_list": "q",
    "q": "q",
    "t1": "t1",
    "t2": "t2",
    "sigma": "sigma",
    "dt": "dt",
    "L": "L",
    "mask": "mask",
}  # key of a dictionary of data → what it is
_WHOLE = ("analysis_mode", "metadata", "analyzer_parameters", "experimental_data", "optimization", "parameter_space")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A call, in one form.

    Attributes:
        config: of the whole analysis.
        said: what was read in another way than it was given.
    """

    maps: TwoTimeMaps
    config: XpcsConfig
    said: tuple[str, ...] = ()

    @property
    def nlsq(self) -> NLSQConfig:
        return self.config.optimization.nlsq

    @property
    def mode(self) -> str:
        """ "laminar_flow" or "static_isotropic", whose physics "static_anisotropic" shares."""
        return "laminar_flow" if self.config.analysis_mode == "laminar_flow" else "static_isotropic"


def request(data: Any, config: Any, pooled: Mapping[str, Any], analysis_mode: str | None) -> Request:
    """A call in one form.

    Args:
        data: a dictionary of maps (`phi_angles_list`, `c2_exp`, `wavevector_q_list`, `t1`, `t2`, `sigma`, `dt`, `L`),
            or `TwoTimeMaps`, or values of a list of points.
        config: the whole configuration or its section ``optimization.nlsq``, read or as a mapping; None: defaults.
        pooled: `t1`, `t2`, `phi`, `q`, `L`, `sigma`, `dt` of a list of points; those that are None are not given.
        analysis_mode: before the one of the configuration.

    Raises:
        UsageError: the two forms are mixed, or something is missing. InvalidValue: the data are malformed.
    """
    given = {name: value for name, value in pooled.items() if value is not None}
    is_list = not isinstance(data, (Mapping, TwoTimeMaps))
    if not is_list and given:
        raise UsageError(f"`{min(given)}` is given beside a dictionary of data", hint="put it into the dictionary")
    settings = config_of(config, analysis_mode)
    if isinstance(data, TwoTimeMaps):
        maps = data
    elif isinstance(data, Mapping):
        maps = _maps_of(data, settings)
    else:
        maps = _maps_of_list(data, given, settings)
    if settings.analysis_mode == "laminar_flow" and maps.gap is None:
        raise InvalidValue("L is missing", hint="the gap of stator and rotor in Å: `L`, or geometry.stator_rotor_gap")
    return Request(maps=maps, config=settings, said=(*maps.notes, *settings.notes))


def config_of(config: Any, analysis_mode: str | None) -> XpcsConfig:
    """A whole configuration, whatever part of it is given."""
    if analysis_mode == "static":
        analysis_mode = "static_isotropic"
    if analysis_mode is not None and analysis_mode not in MODES:
        raise InvalidValue(f"analysis_mode is {analysis_mode!r}", hint=nearest(str(analysis_mode), MODES))
    if isinstance(config, XpcsConfig):
        return config if analysis_mode is None else replace(config, analysis_mode=analysis_mode)  # type: ignore
    given = getattr(config, "config", config)  # homodyne's ConfigManager keeps its mapping there
    if isinstance(given, Mapping) and any(name in given for name in _WHOLE):
        return parse_config(given if analysis_mode is None else {**given, "analysis_mode": analysis_mode})
    if given is None:
        nlsq = NLSQConfig()
    elif isinstance(given, NLSQConfig):
        nlsq = given
    elif isinstance(given, Mapping):
        nlsq = NLSQConfig.from_dict(given)
    else:
        raise UsageError(f"`config` is {type(config).__name__}", hint="a mapping, an NLSQConfig, or load_config(path)")
    if analysis_mode is None:
        raise UsageError("no analysis_mode is given", hint=f"analysis_mode={MODES[0]!r} or {MODES[1]!r}")
    return XpcsConfig(
        analysis_mode=analysis_mode,  # type: ignore
        optimization=Optimization(nlsq=nlsq, cmc=CMCConfig()),
        parameters=ParameterTable(),
        notes=nlsq.notes,
    )


def _maps_of(data: Mapping[str, Any], config: XpcsConfig) -> TwoTimeMaps:
    """Maps of a dictionary."""
    found: dict[str, Any] = {}
    for key, value in data.items():
        if key not in _NAMES:
            raise UsageError(f"`data` has an unknown key `{key}`", hint=nearest(str(key), _NAMES))
        if _NAMES[key] in found:
            raise UsageError(f"`data` says `{_NAMES[key]}` twice, the second time as `{key}`", hint="give one of them")
        found[_NAMES[key]] = value
    for name in ("g2", "phi", "q"):
        value = found.get(name, config.q if name == "q" else None)
        if value is None:
            keys = " or ".join(f"`{k}`" for k, n in _NAMES.items() if n == name)
            raise UsageError(f"`data` has no {keys}", hint="see `campaign_xpcs.fit_nlsq_jax`")
    sigma = found.get("sigma", config.sigma)
    maps = two_time_maps(
        found["g2"],
        phi_deg=found["phi"],
        q=found.get("q", config.q),
        dt_s=_scalar(found.get("dt"), config.dt_s),
        t1=found.get("t1"),
        t2=found.get("t2"),
        gap=_scalar(found.get("L"), config.gap),
        sigma=None if isinstance(sigma, str) else sigma,
        mask=found.get("mask"),
    )
    return _with_errors(maps, sigma)


def _maps_of_list(data: Any, given: Mapping[str, Any], config: XpcsConfig) -> TwoTimeMaps:
    """Maps of a list of points."""
    for name in ("t1", "t2", "phi"):
        if name not in given:
            raise UsageError(f"a list of points needs `{name}`", hint="fit_nlsq_jax(data=, t1=, t2=, phi=, q=, L=, …)")
    q = given.get("q", config.q)
    if q is None:
        raise UsageError("a list of points needs `q`", hint="the wavevector in 1/Å")
    sigma = given.get("sigma", config.sigma)
    maps = pooled_maps(
        data,
        t1=given["t1"],
        t2=given["t2"],
        phi=given["phi"],
        q=q,
        gap=_scalar(given.get("L"), config.gap),
        dt_s=_scalar(given.get("dt"), config.dt_s),
        sigma=None if isinstance(sigma, str) else sigma,
    )
    return _with_errors(maps, sigma)


def _with_errors(maps: TwoTimeMaps, sigma: Any) -> TwoTimeMaps:
    """The maps with estimated errors where these are asked for by name."""
    if not isinstance(sigma, str):
        return maps
    if sigma != "far-lags":
        raise InvalidValue(f"sigma is {sigma!r}", hint="numbers, or far-lags")
    return with_far_lag_sigma(maps)


def _scalar(value: Any, default: float | None) -> float | None:
    if value is None:
        return default
    array = np.asarray(value, np.float64)
    if array.size != 1:
        raise InvalidValue(f"a number is needed where {array.size} are given", hint="dt and L are one number each")
    return float(array.reshape(()))
