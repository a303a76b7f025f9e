"""Parameters of a two-time fit: names, units, bounds, priors, and the space that they make. No JAX."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from campaign.science import InvalidValue, Parameter, Prior, ThetaSpace, TruncatedNormal, UnknownName, nearest

MODES = ("laminar_flow", "static_isotropic", "static_anisotropic")
SHEAR_MODELS = ("physical", "homodyne-compat")
INTEGRATIONS = ("trapezoid", "exact")
SCALINGS = ("individual", "averaged", "fourier", "fixed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A row of the table of parameters.

    Attributes:
        initial: a start; never one of the singular points α = 0 and β = 0, where amplitude and offset are one.
        scale: typical size of a change.
        mean, sd: of its truncated normal prior, where priors of the table are asked for.
    """

    name: str
    unit: str
    initial: float
    lower: float
    upper: float
    scale: float
    mean: float
    sd: float
    is_log: bool = False
    description: str = ""


CONTRAST = Field(
    name="contrast", unit="", initial=0.3, lower=0.0, upper=1.0, scale=0.01, mean=0.5, sd=0.25, description="of c2"
)
OFFSET = Field(
    name="offset", unit="", initial=1.0, lower=0.5, upper=1.5, scale=0.01, mean=1.0, sd=0.25, description="of c2"
)
DIFFUSION = (
    Field(
        name="D0",
        unit="Å²/s^(1+α)",
        initial=1000.0,
        lower=100.0,
        upper=1e5,
        scale=100.0,
        mean=1000.0,
        sd=1000.0,
        is_log=True,
        description="amplitude of J(t) = D0 t^α + D_offset; of Brownian motion J = 2 D",
    ),
    Field(
        name="alpha",
        unit="",
        initial=-0.3,
        lower=-2.0,
        upper=2.0,
        scale=0.05,
        mean=0.5,
        sd=0.5,
        description="exponent of J(t)",
    ),
    Field(
        name="D_offset",
        unit="Å²/s",
        initial=0.0,
        lower=-1e5,
        upper=1e5,
        scale=50.0,
        mean=10.0,
        sd=200.0,
        description="constant part of J(t); may be negative while J(t) > 0",
    ),
)
SHEAR = (
    Field(
        name="gamma_dot_t0",
        unit="1/s^(1+β)",
        initial=1e-3,
        lower=1e-6,
        upper=0.5,
        scale=1e-4,
        mean=0.01,
        sd=0.1,
        is_log=True,
        description="amplitude of the shear rate",
    ),
    Field(
        name="beta",
        unit="",
        initial=-0.2,
        lower=-2.0,
        upper=2.0,
        scale=0.05,
        mean=0.0,
        sd=0.5,
        description="exponent of the shear rate",
    ),
    Field(
        name="gamma_dot_t_offset",
        unit="1/s",
        initial=0.0,
        lower=-0.1,
        upper=0.1,
        scale=1e-5,
        mean=0.0,
        sd=0.02,
        description="constant part of the shear rate",
    ),
    Field(
        name="phi0",
        unit="degree",
        initial=0.0,
        lower=-10.0,
        upper=10.0,
        scale=0.5,
        mean=0.0,
        sd=5.0,
        description="direction of flow; φ0 + 180° is the same",
    ),
)
HARMONIC = 0.5  # bound of a Fourier coefficient beside the mean


def is_static(mode: str) -> bool:
    """Whether a mode has no shear.

    Raises:
        UnknownName: no such mode.
    """
    if mode not in MODES:
        raise UnknownName(f"unknown analysis mode `{mode}`", hint=nearest(mode, MODES))
    return mode != "laminar_flow"


def physical(mode: str) -> tuple[Field, ...]:
    """The parameters of the physics: 3 without shear, 7 with it."""
    return DIFFUSION if is_static(mode) else (*DIFFUSION, *SHEAR)


def n_harmonics(order: int) -> int:
    """Coefficients of a Fourier series: 1, cos φ, sin φ, cos 2φ, …"""
    return 2 * order + 1


def scaling_fields(scaling: str, n_phi: int, order: int = 2) -> tuple[Field, ...]:
    """The parameters of contrast and offset, contrasts first.

    Raises:
        UnknownName: no such scaling.
        InvalidValue: fewer angles than a Fourier series has coefficients.
    """
    if scaling not in SCALINGS:
        raise UnknownName(f"unknown scaling `{scaling}`", hint=nearest(scaling, SCALINGS))
    if scaling == "fixed":
        return ()
    if scaling == "averaged":
        return CONTRAST, OFFSET
    if scaling == "individual":
        return tuple(replace(own, name=f"{own.name}[{k}]") for own in (CONTRAST, OFFSET) for k in range(n_phi))
    n = n_harmonics(order)
    if n_phi < n:
        raise InvalidValue(
            f"a Fourier series of order {order} needs {n} angles, and there are {n_phi}",
            hint='"scaling": "individual" or "averaged"',
        )
    wave = {"lower": -HARMONIC, "upper": HARMONIC, "initial": 0.0, "mean": 0.0, "sd": 0.1}
    return tuple(
        replace(own, name=f"{own.name}_c{k}", **(wave if k else {})) for own in (CONTRAST, OFFSET) for k in range(n)
    )


def fields(mode: str, scaling: str, n_phi: int, order: int = 2) -> tuple[Field, ...]:
    """All parameters in the order of theta: contrasts, offsets, physics."""
    return (*scaling_fields(scaling, n_phi, order), *physical(mode))


def expanded(given: Iterable[str], known: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Name as given → names of theta: ``contrast`` means every ``contrast[k]`` too.

    Raises:
        UnknownName: with the nearest name.
    """
    found = {}
    for name in given:
        own = (name,) if name in known else tuple(k for k in known if k.startswith(f"{name}["))
        if not own:
            raise UnknownName(f"unknown parameter `{name}`", hint=nearest(name, known))
        found[name] = own
    return found


def space(
    known: Sequence[Field],
    *,
    values: Mapping[str, float] | None = None,
    bounds: Mapping[str, Sequence[float]] | None = None,
    priors: Mapping[str, Prior] | str = "none",
    fixed: Iterable[str] = (),
    temper: int = 1,
) -> ThetaSpace:
    """The space of theta.

    Args:
        known: rows of the table.
        values: initial values in the place of the table's; where a fixed parameter stays.
        bounds: name → (lower, upper) in the place of the table's.
        priors: "none" (flat between the bounds), "table" (truncated normals), or name → prior.
        fixed: parameters that do not move.
        temper: K; the prior is taken to the power 1/K, for K parts of the data.

    Raises:
        UnknownName, InvalidValue: a name, a value or a bound that does not fit.
    """
    names = [own.name for own in known]
    start = spread(values or {}, names)
    limits = spread(bounds or {}, names)
    still = {name for own in expanded(fixed, names).values() for name in own}
    found = []
    for own in known:
        lower, upper = _limits(own, limits.get(own.name))
        initial = float(start.get(own.name, min(max(own.initial, lower), upper)))
        parameter = Parameter(
            name=own.name,
            initial=initial,
            unit=own.unit,
            lower=lower,
            upper=upper,
            scale=own.scale,
            transform="log" if own.is_log and lower > 0 else "identity",
            free=own.name not in still,
            description=own.description,
        )
        found.append(_with_prior(parameter, own, priors, names, temper))
    return ThetaSpace(tuple(found))


def spread(given: Mapping, names: Sequence[str]) -> dict:
    """What was given by name, by the names of theta."""
    return {name: given[key] for key, own in expanded(given, names).items() for name in own}


def _limits(own: Field, given: Sequence[float] | None) -> tuple[float, float]:
    if given is None:
        return own.lower, own.upper
    if len(given) != 2 or not all(isinstance(v, int | float | np.floating) for v in given):
        raise InvalidValue(f"bounds of `{own.name}` are {given}", hint="valid: two numbers, lower and upper")
    return float(given[0]), float(given[1])


def _with_prior(
    parameter: Parameter, own: Field, priors: Mapping[str, Prior] | str, names: Sequence[str], temper: int
) -> Parameter:
    if isinstance(priors, str):
        if priors not in ("none", "table"):
            raise UnknownName(f"unknown priors `{priors}`", hint="valid: `none`, `table`, or parameter: distribution")
        is_table = priors == "table" and math.isfinite(parameter.upper - parameter.lower)
        prior = TruncatedNormal(own.mean, own.sd, parameter.lower, parameter.upper) if is_table else None
    else:
        prior = spread(priors, names).get(own.name)
    if prior is None:
        return parameter
    prior = tempered(prior, temper)
    low, high = prior.support
    lower, upper = max(parameter.lower, low), min(parameter.upper, high)
    initial = min(max(parameter.initial, lower), upper)
    return replace(parameter, prior=prior, lower=lower, upper=upper, initial=initial)


def tempered(prior: Prior, k: int) -> Prior:
    """The prior to the power 1/k, normalised: k of them multiply to the prior.

    Raises:
        InvalidValue: a kind for which that is no prior of the same kind.
    """
    if k == 1 or prior.kind == "uniform":
        return prior
    if prior.kind in ("normal", "truncated_normal"):
        mean, sd, *ends = prior.numbers
        return Prior(prior.kind, (mean, sd * math.sqrt(k), *ends))
    raise InvalidValue(
        f"a `{prior.kind}` prior has no root of order {k} of its kind", hint="valid: normal, truncated_normal, uniform"
    )
