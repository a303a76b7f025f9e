"""Optics: astrometry of binary stars with a telescope that has a mask in its pupil.

`campaign_optics.plugin:BINARY_FRAME` is what `campaign` loads. The functions of the API are imported when they are
named: importing this package imports no JAX.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_WHERE = {
    "api.binder": ("Binder", "binder"),
    "api.information_file": ("load_information", "save_information"),
    "api.index_map": ("IndexMap", "build_index_map", "pack_params", "unpack_params"),
    "api.param_spec": ("ParamField", "ParamSpec", "forward_spec", "inference_spec"),
    "api.store": ("ParameterStore", "refresh_derived"),
    "data.frames": ("Frame", "frames"),
    "judge.ensemble": ("bias_and_scatter",),
    "judge.information": ("Information", "conditioning", "information", "mass_matrix"),
    "judge.night": ("against_cold", "flagged"),
    "judge.optimisers": ("steps_to_optimum",),
    "judge.sign_twin": ("check_sign_twin",),
    "model.chain": ("BinaryChain",),
    "model.frame": ("BinaryFrame", "frame_problem"),
    "model.simulated": ("noisy",),
    "model.two_plane": ("TwoPlaneModel",),
    "physics.designs": ("Design", "design", "focal_length", "log_flux_total", "plate_scale", "raw_fluxes"),
    "plugin": ("BINARY_FRAME",),
}
_MODULE = {name: f"campaign_optics.{module}" for module, names in _WHERE.items() for name in names}
__all__ = sorted(_MODULE)


def __getattr__(name: str) -> Any:
    if name not in _MODULE:
        raise AttributeError(f"module `campaign_optics` has no `{name}`")
    return getattr(import_module(_MODULE[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *_MODULE]
