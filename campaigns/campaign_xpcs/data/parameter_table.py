"""Parameters in a configuration: values, bounds, priors, and which move."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from campaign.science import nearest
from campaign_xpcs.data.yaml_values import Reader

DIFFUSION = ("D0", "alpha", "D_offset")
SHEAR = ("gamma_dot_t0", "beta", "gamma_dot_t_offset", "phi0")
SCALING = ("contrast", "offset")
OLD_NAMES = {"gamma_dot_0": "gamma_dot_t0", "gamma_dot_offset": "gamma_dot_t_offset", "phi_0": "phi0"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterTable:
    """What a configuration says about parameters; what it does not say is the model's.

    Attributes:
        values: starts. bounds: lower and upper.
        priors: mean and standard deviation of a normal distribution cut at the bounds.
        held: parameters that do not move, at their values.
        contrast, offset: starts by angle; None: from the data.
    """

    values: Mapping[str, float] = field(default_factory=dict)
    bounds: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    priors: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    held: tuple[str, ...] = ()
    contrast: tuple[float, ...] | None = None
    offset: tuple[float, ...] | None = None


def physical_names(mode: str) -> tuple[str, ...]:
    """The parameters of a mode that are not scaling: 3, or 7 with shear."""
    return DIFFUSION + SHEAR if mode == "laminar_flow" else DIFFUSION


def parameter_table(read: Reader, mode: str) -> ParameterTable:
    """The sections ``initial_parameters`` and ``parameter_space``. What is wrong goes to the reader."""
    physical = physical_names(mode)
    values = _values(read, physical)
    bounds, priors = _bounds(read, (*physical, *SCALING))
    held = set()
    for name, value in (read.value("initial_parameters.fixed_parameters") or {}).items():
        place = f"initial_parameters.fixed_parameters.{name}"
        known = _known(read, name, physical, place)
        number = read.as_number(value, place)
        if known and number is not None:
            values[known] = number
            held.add(known)
    active = read.value("initial_parameters.active_parameters")
    if active is not None:
        moving = {_known(read, name, physical, "initial_parameters.active_parameters") for name in active}
        held |= set(physical) - moving
    for name, value in values.items():
        if name in bounds and not bounds[name][0] <= value <= bounds[name][1]:
            low, high = bounds[name]
            read.wrong(f"initial_parameters.values.{name}", f"the value is {value:g}", f"valid: {low:g} to {high:g}")
    scaling = {name: _by_angle(read, f"initial_parameters.per_angle_scaling.{name}") for name in SCALING}
    return ParameterTable(
        values=values,
        bounds=bounds,
        priors=priors,
        held=tuple(name for name in physical if name in held),
        contrast=scaling["contrast"],
        offset=scaling["offset"],
    )


def _values(read: Reader, physical: tuple[str, ...]) -> dict[str, float]:
    place = "initial_parameters.values"
    given = read.value(place)
    if given is None:
        return {}
    names = read.value("initial_parameters.parameter_names") or list(physical)
    if isinstance(given, Mapping):
        pairs = list(given.items())
    elif len(given) != len(names):
        read.wrong(place, f"{len(given)} values for {len(names)} names", "one value a name")
        return {}
    else:
        pairs = list(zip(names, given, strict=True))
    found = {}
    for i, (name, value) in enumerate(pairs):
        known = _known(read, name, physical, f"initial_parameters.parameter_names[{i}]")
        number = read.as_number(value, f"{place}[{i}]")
        if known and number is not None:
            found[known] = number
    return found


def _bounds(
    read: Reader, valid: tuple[str, ...]
) -> tuple[dict[str, tuple[float, float]], dict[str, tuple[float, float]]]:
    bounds: dict[str, tuple[float, float]] = {}
    priors: dict[str, tuple[float, float]] = {}
    for i, item in enumerate(read.value("parameter_space.bounds") or []):
        place = f"parameter_space.bounds[{i}]"
        if not isinstance(item, Mapping):
            read.wrong(place, f"the value is {item!r}", "valid: a mapping with name, min, max")
            continue
        name = _known(read, item.get("name"), valid, f"{place}.name")
        low, high = (read.as_number(item.get(end), f"{place}.{end}") for end in ("min", "max"))
        if name is None or low is None or high is None:
            continue
        if not low < high:
            read.wrong(f"{place}.max", f"the value is {high:g}", f"valid: above min, {low:g}")
            continue
        bounds[name] = (low, high)
        if item.get("prior_mu") is not None and item.get("prior_sigma") is not None:
            mean = read.as_number(item["prior_mu"], f"{place}.prior_mu")
            width = read.as_number(item["prior_sigma"], f"{place}.prior_sigma", above=0.0)
            if mean is not None and width is not None:
                priors[name] = (mean, width)
        for key in set(map(str, item)) - {
            "name",
            "min",
            "max",
            "type",
            "prior_mu",
            "prior_sigma",
            "unit",
            "description",
        }:
            hint = nearest(key, ("name", "min", "max", "type", "prior_mu", "prior_sigma"))
            read.notes.append(f"{place}.{key} is unknown and not used; {hint}")
    return bounds, priors


def _known(read: Reader, name: Any, valid: tuple[str, ...], place: str) -> str | None:
    """The parameter of a name, old names too; None for one of another mode or nobody's."""
    known = OLD_NAMES.get(str(name), str(name))
    if known != str(name):
        read.notes.append(f"{place}: {name} is read as {known}")
    if known in valid:
        return known
    if known in DIFFUSION + SHEAR:
        read.notes.append(f"{place}: {known} is no parameter of this mode and is not used")
        return None
    read.wrong(place, f"unknown parameter `{name}`", nearest(str(name), valid))
    return None


def _by_angle(read: Reader, place: str) -> tuple[float, ...] | None:
    given = read.value(place)
    if given is None:
        return None
    numbers = [read.as_number(v, f"{place}[{i}]") for i, v in enumerate(given if isinstance(given, list) else [given])]
    return tuple(number for number in numbers if number is not None)
