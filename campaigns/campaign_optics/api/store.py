"""Values of parameters: a `ParameterStore` never changes, `replace` gives another one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from campaign.science import InvalidValue, UnknownName, nearest
from campaign_optics.api.param_spec import ParamSpec
from campaign_optics.model.parameters import PLATE_SCALE, canonical
from campaign_optics.physics.designs import focal_length, log_flux_total, plate_scale


class ParameterStore(Mapping[str, np.ndarray]):
    """Key → value, by any of a key's names. Values are float64 arrays that cannot be written to.

    Args:
        values: key → number or vector.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = {canonical(key): _frozen(key, value) for key, value in values.items()}

    @classmethod
    def from_spec_defaults(cls, spec: ParamSpec) -> ParameterStore:
        """The defaults of a specification's primitives."""
        return cls({f.key: f.default for f in spec if f.kind == "primitive" and f.default is not None})

    def __getitem__(self, key: str) -> np.ndarray:
        name = canonical(key)
        if name not in self._values:
            raise UnknownName(f"the store has no `{key}`", hint=nearest(name, self._values))
        return self._values[name]

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and canonical(key) in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"ParameterStore({ {key: value.tolist() for key, value in self._values.items()} })"

    def replace(self, values: Mapping[str, Any]) -> ParameterStore:
        """Another store, in which these keys have these values."""
        return ParameterStore({**self._values, **{canonical(key): value for key, value in values.items()}})

    def validate(self, spec: ParamSpec) -> None:
        """Raises where a primitive of the specification is missing, has another shape, or is out of its bounds.

        Raises:
            UnknownName, InvalidValue: with the key and the value seen.
        """
        for field in spec:
            if field.kind == "derived" and field.key not in self:
                continue
            value = self[field.key]
            if value.shape != field.shape:
                raise InvalidValue(f"`{field.key}` has shape {value.shape}", hint=f"its shape is {field.shape}")
            low, high = field.bounds
            if not np.all((value >= low) & (value <= high)):
                raise InvalidValue(f"`{field.key}` = {value} is out of bounds", hint=f"valid: {low:g} to {high:g}")


def refresh_derived(store: ParameterStore, spec: ParamSpec) -> ParameterStore:
    """A store with the derived values of a specification computed from its primitives.

    Raises:
        UnknownName: a primitive that one depends on is missing.
    """
    found: dict[str, float] = {}
    for field in spec:
        if field.kind != "derived":
            continue
        own = {key: float(store[key]) for key in field.depends_on}
        if field.key == PLATE_SCALE:
            focal = focal_length(
                own["system.m1_focal_length_m"], own["system.m2_focal_length_m"], own["system.plane_separation_m"]
            )
            found[field.key] = plate_scale(own["system.pixel_pitch_m"], focal)
        else:
            found[field.key] = log_flux_total(
                own["system.m1_diameter_m"],
                own["band.bandwidth_m"],
                own["imaging.exposure_time_s"],
                own["imaging.throughput"],
                own["binary.spectral_flux_density"],
            )
    return store.replace(found)


def _frozen(key: str, value: Any) -> np.ndarray:
    if value is None:
        raise InvalidValue(f"`{key}` is None", hint="give it a number or leave it out")
    own = np.array(value, np.float64)
    own.setflags(write=False)
    return own
