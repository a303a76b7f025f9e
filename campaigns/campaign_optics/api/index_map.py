"""Where parameters lie in theta: values ↔ one vector, in the order in which they are inferred."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from campaign.science import InvalidValue
from campaign_optics.api.param_spec import ParamSpec, block
from campaign_optics.api.store import ParameterStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One parameter's place: theta[start:stop], reshaped."""

    name: str
    start: int
    stop: int
    shape: tuple[int, ...]
    block: str
    unit: str = ""


@dataclass(frozen=True, slots=True)
class IndexMap:
    """Places that follow one another from 0 on.

    Raises:
        InvalidValue: places with gaps, or lengths that their shapes do not have.
    """

    entries: tuple[Entry, ...]

    def __post_init__(self) -> None:
        at = 0
        for entry in self.entries:
            if entry.start != at or entry.stop - entry.start != math.prod(entry.shape):
                raise InvalidValue(
                    f"`{entry.name}` lies at {entry.start}:{entry.stop} with shape {entry.shape}",
                    hint=f"it has to begin at {at} and be as long as its shape says",
                )
            at = entry.stop

    @property
    def size(self) -> int:
        """D, the length of theta."""
        return self.entries[-1].stop if self.entries else 0

    @property
    def layout_hash(self) -> str:
        """SHA-256 of compact JSON [[name, shape], …]: order and shapes count, blocks and units do not."""
        own = [[entry.name, list(entry.shape)] for entry in self.entries]
        return hashlib.sha256(json.dumps(own, separators=(",", ":")).encode()).hexdigest()

    @property
    def blocks(self) -> dict[str, np.ndarray]:
        """Block → indices of theta."""
        found: dict[str, list[int]] = {}
        for entry in self.entries:
            found.setdefault(entry.block, []).extend(range(entry.start, entry.stop))
        return {name: np.array(own, int) for name, own in found.items()}

    def document(self) -> dict[str, Any]:
        """JSON of the map."""
        entries = [{**asdict(entry), "shape": list(entry.shape)} for entry in self.entries]
        return {"layout_hash": self.layout_hash, "entries": entries}

    def require(self, theta: Sequence[float] | np.ndarray) -> np.ndarray:
        """Theta as an array.

        Raises:
            InvalidValue: a length other than D.
        """
        own = np.asarray(theta, np.float64)
        if own.shape != (self.size,):
            raise InvalidValue(f"theta has shape {own.shape}", hint=f"this layout has shape ({self.size},)")
        return own


def build_index_map(spec: ParamSpec, infer_keys: Sequence[str]) -> IndexMap:
    """The layout of theta: keys in the order given.

    Raises:
        UnknownName: a key that the specification does not have.
        InvalidValue: a key twice.
    """
    entries, at = [], 0
    for field in spec.subset(infer_keys):
        if any(entry.name == field.key for entry in entries):
            raise InvalidValue(f"`{field.key}` is inferred twice")
        stop = at + math.prod(field.shape)
        entries.append(
            Entry(name=field.key, start=at, stop=stop, shape=field.shape, block=block(field.key), unit=field.unit)
        )
        at = stop
    return IndexMap(tuple(entries))


def pack_params(store: ParameterStore, index_map: IndexMap) -> Float[np.ndarray, " d"]:
    """Theta of a store: each value ravelled in C order, one after the other.

    Raises:
        UnknownName: a missing key.
        InvalidValue: a value of another shape.
    """
    parts = [np.zeros(0)]
    for entry in index_map.entries:
        value = store[entry.name]
        if value.shape != entry.shape:
            raise InvalidValue(f"`{entry.name}` has shape {value.shape}", hint=f"the layout has {entry.shape}")
        parts.append(value.ravel())
    return np.concatenate(parts)


def unpack_params(theta: Sequence[float] | np.ndarray, index_map: IndexMap, base: ParameterStore) -> ParameterStore:
    """The store `base` with what theta holds.

    Raises:
        InvalidValue: a theta of another length.
    """
    own = index_map.require(theta)
    values: Mapping[str, np.ndarray] = {e.name: own[e.start : e.stop].reshape(e.shape) for e in index_map.entries}
    return base.replace(values)
