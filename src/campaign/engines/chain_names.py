"""Which transformations and schedules of optax may stand in a manifest, and the options of each. No JAX."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from campaign.errors import nearest

_WARMUP = ("init_value", "peak_value", "warmup_steps")
SCHEDULES: dict[str, tuple[str, ...]] = {
    "constant_schedule": ("value",),
    "linear_schedule": ("init_value", "end_value", "transition_steps", "transition_begin"),
    "polynomial_schedule": ("init_value", "end_value", "power", "transition_steps", "transition_begin"),
    "exponential_decay": (
        *("init_value", "transition_steps", "decay_rate", "transition_begin", "staircase", "end_value"),
    ),
    "cosine_decay_schedule": ("init_value", "decay_steps", "alpha", "exponent"),
    "warmup_constant_schedule": _WARMUP,
    "warmup_cosine_decay_schedule": (*_WARMUP, "decay_steps", "end_value", "exponent"),
    "warmup_exponential_decay_schedule": (
        *(*_WARMUP, "transition_steps", "decay_rate", "transition_begin", "staircase", "end_value"),
    ),
    "linear_onecycle_schedule": (
        *("transition_steps", "peak_value", "pct_start", "pct_final", "div_factor", "final_div_factor"),
    ),
    "cosine_onecycle_schedule": ("transition_steps", "peak_value", "pct_start", "div_factor", "final_div_factor"),
    "piecewise_constant_schedule": ("init_value", "boundaries_and_scales"),
    "join_schedules": ("schedules", "boundaries"),
}
ALIASES = {"adam": "scale_by_adam", "rmsprop": "scale_by_rms", "sgd": "trace", "lion": "scale_by_lion"}
_ADAM = ("b1", "b2", "eps", "eps_root")
TRANSFORMS: dict[str, tuple[str, ...]] = {
    "adaptive_grad_clip": ("clipping", "eps"),
    "add_decayed_weights": ("weight_decay",),
    "centralize": (),
    "clip": ("max_delta",),
    "clip_by_block_rms": ("threshold",),
    "clip_by_global_norm": ("max_norm",),
    "ema": ("decay", "debias"),
    "identity": (),
    "normalize_by_update_norm": ("scale_factor", "eps"),
    "scale": ("step_size",),
    "scale_by_adam": (*_ADAM, "nesterov"),
    "scale_by_adamax": ("b1", "b2", "eps"),
    "scale_by_amsgrad": _ADAM,
    "scale_by_belief": _ADAM,
    "scale_by_lion": ("b1", "b2"),
    "scale_by_novograd": ("b1", "b2", "eps", "eps_root", "weight_decay"),
    "scale_by_param_block_norm": ("min_scale",),
    "scale_by_param_block_rms": ("min_scale",),
    "scale_by_radam": (*_ADAM, "threshold"),
    "scale_by_rms": ("decay", "eps", "initial_scale", "eps_in_sqrt", "bias_correction"),
    "scale_by_rss": ("initial_accumulator_value", "eps"),
    "scale_by_schedule": ("step_size_fn",),
    "scale_by_sign": (),
    "scale_by_sm3": ("b1", "b2", "eps"),
    "scale_by_stddev": ("decay", "eps", "initial_scale"),
    "scale_by_trust_ratio": ("min_norm", "trust_coefficient", "eps"),
    "scale_by_yogi": ("b1", "b2", "eps", "eps_root", "initial_accumulator_value"),
    "trace": ("decay", "nesterov"),
}
_SGD = {"momentum": "decay", "nesterov": "nesterov"}  # options of optax.sgd → of optax.trace


def require_schedule(data: Any) -> None:
    """Whether data name a schedule and its options.

    Raises:
        ValueError: they do not.
    """
    name = _name(data, "schedule", SCHEDULES)
    _require_options(name, data, "schedule", SCHEDULES[name])
    for inner in data.get("schedules", ()):
        require_schedule(inner)


def require_transform(data: Any) -> None:
    """Whether data name a transformation and its options.

    Raises:
        ValueError: they do not.
    """
    data = {"transform": data} if isinstance(data, str) else data
    name = _name(data, "transform", {**TRANSFORMS, **dict.fromkeys(ALIASES, ())})
    valid = tuple(_SGD) if name == "sgd" else TRANSFORMS[ALIASES.get(name, name)]
    _require_options(name, data, "transform", valid)
    if name == "scale_by_schedule":
        require_schedule(data.get("step_size_fn"))


def _name(data: Any, key: str, known: Mapping[str, Any]) -> str:
    name = data.get(key) if isinstance(data, Mapping) else None
    if not isinstance(name, str):
        raise ValueError(f'{data!r} is no {key}: write {{"{key}": name, its options …}}')
    if name not in known:
        raise ValueError(f"unknown {key} `{name}`. {nearest(name, known)}")
    return name


def _require_options(name: str, data: Mapping[str, Any], key: str, valid: tuple[str, ...]) -> None:
    inner = ("schedules", "boundaries", "boundaries_and_scales", "step_size_fn")
    for option, value in data.items():
        if option == key:
            continue
        if option not in valid:
            raise ValueError(f"`{name}` has no option `{option}`. {nearest(option, valid)}")
        if option not in inner and not isinstance(value, int | float):
            raise ValueError(f"`{option}` of `{name}` is a number, not {value!r}")
