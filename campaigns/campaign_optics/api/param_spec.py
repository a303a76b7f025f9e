"""What parameters there are: `ParamField` describes one, a `ParamSpec` is an ordered set of them."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from campaign.science import UnknownName, nearest
from campaign_optics.model import parameters
from campaign_optics.model.parameters import canonical
from campaign_optics.physics.designs import Design, design


@dataclass(frozen=True, slots=True, kw_only=True)
class ParamField:
    """One quantity.

    Attributes:
        key: ``binary.separation_as`` …
        shape: () of a number, (n,) of a vector.
        kind: "primitive" is given; "derived" follows from the keys in `depends_on`.
        sigma: of its usual prior.
    """

    key: str
    unit: str = ""
    default: float | tuple[float, ...] | None = None
    bounds: tuple[float, float] = (-math.inf, math.inf)
    shape: tuple[int, ...] = ()
    kind: Literal["primitive", "derived"] = "primitive"
    depends_on: tuple[str, ...] = ()
    sigma: float | None = None
    description: str = ""


@dataclass(frozen=True, slots=True)
class ParamSpec:
    """Fields in their order, by key; later names of the keys are taken as well (``source.separation_as``)."""

    fields: tuple[ParamField, ...]

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(field.key for field in self.fields)

    @property
    def spec_hash(self) -> str:
        """SHA-256 of the fields without their descriptions."""
        own = [{k: v for k, v in asdict(field).items() if k != "description"} for field in self.fields]
        text = json.dumps(own, sort_keys=True, separators=(",", ":"), default=str)
        return hashlib.sha256(text.encode()).hexdigest()

    def __getitem__(self, key: str) -> ParamField:
        name = canonical(key)
        found = next((field for field in self.fields if field.key == name), None)
        if found is None:
            raise UnknownName(f"unknown parameter `{key}`", hint=nearest(name, self.keys))
        return found

    def __contains__(self, key: str) -> bool:
        return canonical(key) in self.keys

    def __iter__(self) -> Iterator[ParamField]:
        return iter(self.fields)

    def __len__(self) -> int:
        return len(self.fields)

    def subset(self, keys: Iterable[str]) -> ParamSpec:
        """These fields, in this order: what is inferred.

        Raises:
            UnknownName: with the nearest key.
        """
        return ParamSpec(tuple(self[key] for key in keys))


def inference_spec(of: str | Design = "testbed") -> ParamSpec:
    """What can be inferred of a design; plate scale and flux are primitives here."""
    own = design(of) if isinstance(of, str) else of
    return ParamSpec(tuple(_field(field) for field in parameters.fields(own)))


def forward_spec(of: str | Design = "testbed") -> ParamSpec:
    """What a simulation is given: the telescope's geometry and the exposure, from which plate scale and flux follow."""
    own = design(of) if isinstance(of, str) else of
    given: Mapping[str, tuple[Any, str]] = {
        "imaging.exposure_time_s": (1800.0, "s"),
        "imaging.throughput": (1.0, ""),
        "binary.spectral_flux_density": (1.7227e17, "photons/s/m2/m"),
        "system.m1_diameter_m": (own.diameter, "m"),
        "system.m1_focal_length_m": (own.focal_1, "m"),
        "system.m2_focal_length_m": (own.focal_2, "m"),
        "system.plane_separation_m": (own.separation, "m"),
        "system.pixel_pitch_m": (own.pixel_pitch, "m"),
        "band.wavelength_m": (own.wavelength, "m"),
        "band.bandwidth_m": (own.bandwidth, "m"),
    }
    primitives = tuple(
        ParamField(key=key, unit=unit, default=value) for key, (value, unit) in given.items() if value is not None
    )
    flux = ("band.bandwidth_m", "binary.spectral_flux_density", "imaging.exposure_time_s", "imaging.throughput")
    follows: dict[str, tuple[str, ...]] = {"binary.log_flux_total": (*flux, "system.m1_diameter_m")}
    if own.focal_1 is not None:
        lengths = ("system.m1_focal_length_m", "system.m2_focal_length_m", "system.plane_separation_m")
        follows[parameters.PLATE_SCALE] = (*lengths, "system.pixel_pitch_m")
    derived = []
    for field in inference_spec(own):
        depends = follows.get(field.key)
        if depends is None:
            derived.append(field)
        else:
            derived.append(ParamField(key=field.key, unit=field.unit, kind="derived", depends_on=depends))
    return ParamSpec((*primitives, *derived))


def _field(field: parameters.Field) -> ParamField:
    shape = () if field.size is None else (field.size,)
    default = field.initial if field.size is None else (field.initial,) * field.size
    return ParamField(
        key=field.name,
        unit=field.unit,
        default=default,
        bounds=(field.lower, field.upper),
        shape=shape,
        sigma=field.sigma,
        description=field.description,
    )
