"""The parameters of a binary star and its telescope: names, units, defaults, bounds, priors. No JAX."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from campaign.science import InvalidValue, Parameter, Prior, ThetaSpace, UnknownName, nearest
from campaign_optics.physics.designs import Design


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A quantity that can be inferred, a number or a vector.

    Attributes:
        sigma: of its prior where one is asked for by name, and a typical change of it.
        size: of a vector; None is a number.
    """

    name: str
    unit: str
    initial: float
    sigma: float
    lower: float = -math.inf
    upper: float = math.inf
    size: int | None = None
    description: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """Of its numbers: ``primary.zernike_coeffs_nm[0]`` … of a vector."""
        return (self.name,) if self.size is None else tuple(f"{self.name}[{i}]" for i in range(self.size))


def _number(name: str, unit: str, initial: float, sigma: float, lower: float = -math.inf, about: str = "") -> Field:
    return Field(name=name, unit=unit, initial=initial, sigma=sigma, lower=lower, description=about)


PRIMARY, SECONDARY = "primary.zernike_coeffs_nm", "secondary.zernike_coeffs_nm"
PLATE_SCALE = "system.plate_scale_as_per_pix"
BACKGROUND = "detector.background_e"
BINARY = (
    _number("binary.separation_as", "as", 10.0, 0.01, 0.0, "distance of the stars"),
    _number("binary.position_angle_deg", "deg", 90.0, 0.5, about="of star A from star B, from up (y) to right (x)"),
    _number("binary.x_position_as", "as", 0.0, 0.005, about="of the middle between the stars"),
    _number("binary.y_position_as", "as", 0.0, 0.005, about="of the middle between the stars"),
    _number("binary.log_flux_total", "", 8.0, 0.05, about="log10 of the photons of both stars in an exposure"),
    _number("binary.contrast", "", 3.0, 0.05, 0.0, "photons of star A over those of star B"),
)
ALIASES = {
    **{field.name.replace("binary.", "source."): field.name for field in BINARY},
    "optics.plate_scale_as_per_pix": PLATE_SCALE,
    "optics.primary.zernike_coeffs_nm": PRIMARY,
    "optics.secondary.zernike_coeffs_nm": SECONDARY,
    "optics.detector.background_e": BACKGROUND,
}  # later name → the one used here


def fields(design: Design) -> tuple[Field, ...]:
    """What can be inferred of a design, in the order of theta."""
    mirrors = [
        Field(
            name=name, unit="nm", initial=0.0, sigma=1.0, size=len(noll), description=f"Zernike, {name.split('.')[0]}"
        )
        for name, noll in ((PRIMARY, design.primary_noll), (SECONDARY, design.secondary_noll))
    ]
    plate = _number(PLATE_SCALE, "as/pix", design.plate_scale, 0.002, 0.0, "angle of a pixel")
    return (*BINARY, plate, *mirrors, _number(BACKGROUND, "e", 0.0, 1.0, about="electrons in each pixel"))


def canonical(name: str) -> str:
    """A name as it is used here: an alias replaced, with its index."""
    stem, bracket, index = name.partition("[")
    return ALIASES.get(stem, stem) + bracket + index


def block_of(key: str) -> str:
    """The family of a key: what is scaled, clipped and drawn together."""
    name = canonical(key)
    if ".zernike" in name:
        return "primary.zernikes" if name.startswith("primary") else "secondary.zernikes"
    if name.startswith(("binary.log_flux", "binary.contrast")):
        return "photometry"
    return "detector" if name.startswith("detector") else "astrometry"


def expanded(names: Iterable[str], known: Sequence[Field]) -> tuple[str, ...]:
    """Names of numbers: a vector's name becomes those of its components.

    Raises:
        UnknownName: with the nearest name.
    """
    by_field = {field.name: field.names for field in known}
    singles = {name for field in known for name in field.names}
    found: list[str] = []
    for given in names:
        name = canonical(given)
        if name not in by_field and name not in singles:
            raise UnknownName(f"unknown parameter `{given}`", hint=nearest(name, [*by_field, *sorted(singles)]))
        found += by_field.get(name, (name,))
    return tuple(found)


def values(given: Mapping[str, Any], known: Sequence[Field]) -> dict[str, Any]:
    """Numbers by the names of theta, from numbers and vectors by any of their names.

    Raises:
        UnknownName: with the nearest name.
        InvalidValue: a vector of another length.
    """
    found: dict[str, Any] = {}
    for name, value in given.items():
        own = expanded([name], known)
        is_vector = isinstance(value, Sequence) and not isinstance(value, str)
        parts = list(value) if is_vector else [value] * len(own)
        if len(parts) != len(own):
            raise InvalidValue(f"`{name}` has {len(parts)} values", hint=f"it takes {len(own)}")
        found |= dict(zip(own, parts, strict=True))
    return found


def space(
    design: Design, *, infer: Sequence[str] | None, initial: Mapping[str, Any], priors: Mapping[str, Prior]
) -> ThetaSpace:
    """The space of theta.

    Args:
        design: telescope.
        infer: what is free: names of numbers and vectors; None is all but the secondary mirror.
        initial: values in place of the defaults.
        priors: by name of a number.

    Raises:
        UnknownName, InvalidValue: a name, a value or a vector's length that does not fit.
    """
    known = fields(design)
    free = set(expanded([f.name for f in known if f.name != SECONDARY] if infer is None else infer, known))
    own = values(initial, known)
    found = []
    for field in known:
        base = {"unit": field.unit, "lower": field.lower, "upper": field.upper, "description": field.description}
        for name in field.names:
            value = float(own.get(name, field.initial))
            parameter = Parameter(name=name, initial=value, scale=field.sigma, free=name in free, **base)
            found.append(_with_prior(parameter, priors.get(name)))
    return ThetaSpace(tuple(found))


def normal_priors(design: Design, initial: Mapping[str, Any]) -> dict[str, Prior]:
    """A normal prior for every parameter: about its initial value, with the sigma of its field."""
    known = fields(design)
    own = values(initial, known)
    return {
        name: Prior("normal", (float(own.get(name, field.initial)), field.sigma))
        for field in known
        for name in field.names
    }


def _with_prior(parameter: Parameter, prior: Prior | None) -> Parameter:
    if prior is None:
        return parameter
    low, high = prior.support
    lower, upper = max(parameter.lower, low), min(parameter.upper, high)
    return replace(parameter, prior=prior, lower=lower, upper=upper, initial=min(max(parameter.initial, lower), upper))
