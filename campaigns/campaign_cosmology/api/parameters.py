"""Parameters of a model as a dictionary: defaults, overrides, checks, derived quantities."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping
from numbers import Real
from typing import Any, get_args

from campaign.science import CampaignError, InvalidValue, Parameter, nearest
from campaign_cosmology.api.results import ParameterDict
from campaign_cosmology.model.options import CosmologyOptions
from campaign_cosmology.model.space import MODELS, PARAMETERS, whole
from campaign_cosmology.model.warning import CosmologyWarning

CONVENTIONS = {
    "recomb_method": get_args(CosmologyOptions.model_fields["zstar"].annotation),
    "drag_method": get_args(CosmologyOptions.model_fields["zdrag"].annotation),
    "constants": get_args(CosmologyOptions.model_fields["constants"].annotation),
    "pbuf_form": get_args(CosmologyOptions.model_fields["form"].annotation),
    "neutrinos": get_args(CosmologyOptions.model_fields["neutrinos"].annotation),
}  # conventions in a ParameterDict, and what is valid for them
_USUAL = {
    "recomb_method": "PLANCK18",
    "drag_method": "AAN21",
    "constants": "compat",
    "pbuf_form": "normalised",
} | {"neutrinos": "massless"}

DEFAULTS: dict[str, dict[str, Any]] = {
    model: {p.name: p.initial for p in parameters} | {"model_class": model} | _USUAL
    for model, parameters in MODELS.items()
}
"""Built-in values by model. A new model is an entry here: its parameters and a `model_class`."""


class WrongType(CampaignError, TypeError):
    """A value of the wrong type, where a number is needed."""

    exit_code = 3


def known_model(model: str) -> str:
    """The name, if it is a model's.

    Raises:
        ValueError (InvalidValue): with the nearest model.
    """
    if model not in DEFAULTS:
        raise InvalidValue(f"unknown model `{model}`", hint=nearest(str(model), DEFAULTS))
    return model


def get_defaults(model: str) -> dict[str, Any]:
    """Built-in parameters of a model; a copy. Stored ones: `OptimizedParameterStore.get_model_defaults`.

    Raises:
        ValueError: unknown model.
    """
    return dict(DEFAULTS[known_model(model)])


def parameter_table(model: str, params: Mapping[str, Any] | None = None) -> dict[str, Parameter]:
    """Name → unit, bounds, transform of every number of a model; a model without equations of its own has no bounds
    beyond those of the parameters it shares. Conventions in `params` add mnu and r_d."""
    known_model(model)
    if model in MODELS:
        given = params or {}
        has_rd = given.get("drag_method") == "FREE"
        return {p.name: p for p in whole(model, neutrinos=str(given.get("neutrinos")), has_rd=has_rd)}
    shared = PARAMETERS
    numbers = {name: v for name, v in DEFAULTS[model].items() if isinstance(v, Real) and not isinstance(v, bool)}
    return {name: shared.get(name) or Parameter(name=name, initial=float(value)) for name, value in numbers.items()}


def unknown_parameter(model: str, name: object, valid: Iterable[str]) -> InvalidValue:
    """The error for a name that is not a parameter of a model: whose it is, or the nearest, and what is valid."""
    names = tuple(valid)
    others = [other for other in MODELS if other != model and any(p.name == name for p in MODELS[other])]
    near = f"it is one of the model `{others[0]}`." if others else nearest(str(name), names)
    all_of_them = f"alid: {', '.join(names)}"
    hint = f"v{all_of_them}" if near.startswith("valid") else f"{near} V{all_of_them}"
    return InvalidValue(f"`{model}` has no parameter `{name}`", hint=hint)


def parameter_value(parameter: Parameter, value: Any) -> float:
    """A value for a parameter, checked.

    Raises:
        TypeError (WrongType): no number. ValueError (InvalidValue): not finite, or out of bounds.
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise WrongType(
            f"parameter `{parameter.name}` = {value!r} is a {type(value).__name__}, not a number",
            hint=f"valid: {parameter.lower:g} to {parameter.upper:g} {parameter.unit}".rstrip(),
        )
    number = float(value)
    if not (math.isfinite(number) and parameter.lower <= number <= parameter.upper):
        raise InvalidValue(
            f"parameter `{parameter.name}` = {number:g} is out of bounds",
            hint=f"valid: {parameter.lower:g} to {parameter.upper:g} {parameter.unit}".rstrip(),
        )
    return number


def build_params(
    model: str, overrides: Mapping[str, Any] | None = None, optimization_metadata: Mapping[str, Any] | None = None
) -> ParameterDict:
    """Every parameter of a model, what follows from them, and the conventions.

    Args:
        model: "lcdm", "wcdm", "w0wacdm", "pbuf", or one added to `DEFAULTS`.
        overrides: parameter values; also recomb_method, drag_method, constants, pbuf_form, neutrinos.
        optimization_metadata: kept under that key.

    Returns:
        The parameters; Omh2, Orh2, Or0, Ob0, OL0, z_recomb, z_drag, r_s_drag [Mpc], r_s_star [Mpc], D_M_star [Mpc],
        theta_star_100, l_A, R; model_class and conventions.

    Raises:
        ValueError: unknown model or parameter, value out of bounds. TypeError: a value of the wrong type.
    """
    if overrides is not None and not isinstance(overrides, Mapping):
        raise WrongType(f"the overrides are a {type(overrides).__name__}", hint='a dictionary: {"H0": 70.0}')
    values = get_defaults(model)
    table = parameter_table(model, overrides)
    values = {p.name: p.initial for p in table.values()} | values
    for name, value in (overrides or {}).items():
        if name in table:
            values[name] = parameter_value(table[name], value)
        elif name in CONVENTIONS:
            if value not in CONVENTIONS[name]:
                raise InvalidValue(f"`{name}` = {value!r} is unknown", hint=nearest(str(value), CONVENTIONS[name]))
            values[name] = value
        else:
            raise unknown_parameter(model, name, (*table, *CONVENTIONS))
    return completed(values, optimization_metadata)


def completed(values: Mapping[str, Any], optimization_metadata: Mapping[str, Any] | None = None) -> ParameterDict:
    """Parameters with their derived quantities put in (or put right)."""
    from campaign_cosmology.api.theory import derived

    if values.get("recomb_method") == "EH98":
        warnings.warn("z* from EH98 is 2.6 % low: it reproduces old numbers only", CosmologyWarning, stacklevel=3)
    out = dict(values)
    found = derived(values)
    h = float(out["H0"]) / 100.0
    out |= {name: found[name] for name in ("Omh2", "Orh2", "Ob0", "OL0", "theta_star_100", "l_A", "R")}
    out |= {name: found[name] for name in ("r_s_star", "D_M_star", "z_drag")}
    out |= {"Or0": found["Orh2"] / h**2, "z_recomb": found["z_star"], "r_s_drag": found["r_d"]}
    if optimization_metadata is not None:
        out["optimization_metadata"] = dict(optimization_metadata)
    return out


_PHYSICAL = {
    "Omh2": (0.01, 1.0),
    "Orh2": (1e-6, 1e-3),
    "z_recomb": (800.0, 1500.0),
    "z_drag": (800.0, 1500.0),
    "r_s_drag": (0.1, 300.0),
}


def validate_params(params: Mapping[str, Any]) -> bool:
    """Whether a parameter dictionary is complete, inside its bounds and consistent with itself.

    Checks bounds of every parameter; Omh2 0.01–1, Orh2 1e-6–1e-3, z_recomb and z_drag 800–1500, r_s_drag 0.1–300 Mpc;
    z_recomb > z_drag; |Omh2 − Om0 h²| < 1e-4.

    Raises:
        ValueError: with the parameter, its value and what is valid. TypeError: a value that is not a number.
    """
    model = known_model(str(params.get("model_class", "")))
    for name, parameter in parameter_table(model, params).items():
        if name not in params:
            raise InvalidValue(f"parameter `{name}` is missing", hint=f"build_params({model!r}) gives them all")
        parameter_value(parameter, params[name])
    for name, (low, high) in _PHYSICAL.items():
        value = params.get(name)
        if value is not None and not low <= value <= high:
            raise InvalidValue(f"`{name}` = {value:g} is not physical", hint=f"valid: {low:g} to {high:g}")
    if "Omh2" in params and abs(params["Omh2"] - params["Om0"] * (params["H0"] / 100.0) ** 2) >= 1e-4:
        raise InvalidValue(f"Omh2 = {params['Omh2']:g} contradicts Om0 and H0", hint="rebuild with build_params")
    if "z_recomb" in params and "z_drag" in params and params["z_recomb"] <= params["z_drag"]:
        raise InvalidValue(f"z_recomb = {params['z_recomb']:g} is not above z_drag = {params['z_drag']:g}")
    return True
