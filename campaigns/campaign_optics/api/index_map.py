"""Where parameters lie in theta: values ↔ one vector, in the order in which they are inferred."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from campaign.science import IndexMap
from campaign_optics.api.param_spec import ParamSpec
from campaign_optics.api.store import ParameterStore
from campaign_optics.model.parameters import block_of


def build_index_map(spec: ParamSpec, infer_keys: Sequence[str]) -> IndexMap:
    """The layout of theta: keys in the order given.

    Raises:
        UnknownName: a key that the specification does not have.
        InvalidValue: a key twice.
    """
    entries: list[dict[str, Any]] = []
    at = 0
    for field in spec.subset(infer_keys):
        stop = at + math.prod(field.shape)
        own = {"name": field.key, "start": at, "stop": stop, "shape": field.shape, "unit": field.unit}
        entries.append({**own, "block": block_of(field.key)})
        at = stop
    return IndexMap.parse(entries)


def pack_params(store: ParameterStore, index_map: IndexMap) -> Float[np.ndarray, " d"]:
    """Theta of a store: each value ravelled in C order, one after the other.

    Raises:
        UnknownName: a missing key.
        InvalidValue: a value of another shape.
    """
    return index_map.pack({entry.name: store[entry.name] for entry in index_map.entries})


def unpack_params(theta: Sequence[float] | np.ndarray, index_map: IndexMap, base: ParameterStore) -> ParameterStore:
    """The store `base` with what theta holds.

    Raises:
        InvalidValue: a theta of another length.
    """
    return base.replace(index_map.unpack(theta))
