"""A model with its values: call it with what differs, and it gives the image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from campaign_optics.api.index_map import IndexMap, build_index_map, pack_params, unpack_params
from campaign_optics.api.param_spec import ParamSpec, inference_spec
from campaign_optics.api.store import ParameterStore
from campaign_optics.model.two_plane import TwoPlaneModel, compiled
from campaign_optics.physics.designs import Design, design


@dataclass(frozen=True, slots=True)
class Binder:
    """Static configuration, specification and a base store.

    Attributes:
        two_plane: what predicts.
        spec: of all its parameters.
        base: values of all of them.
    """

    two_plane: TwoPlaneModel
    spec: ParamSpec
    base: ParameterStore

    def __call__(self, store_delta: Mapping[str, Any] | None = None) -> Float[np.ndarray, "n n"]:
        """The image [electrons] with some values in place of the base's. A new value compiles nothing.

        Raises:
            UnknownName, InvalidValue: a key or a value that the specification does not have.
        """
        store = self.effective(store_delta or {})
        return np.asarray(compiled(self.two_plane)(pack_params(store, self.layout())))

    def effective(self, store_delta: Mapping[str, Any]) -> ParameterStore:
        """The base with some values replaced, checked."""
        for key in store_delta:
            self.spec[key]
        store = self.base.replace(store_delta)
        store.validate(self.spec)
        return store

    def layout(self, infer_keys: Sequence[str] | None = None) -> IndexMap:
        """Where parameters lie in a theta of these keys; of all of them without keys."""
        return build_index_map(self.spec, self.spec.keys if infer_keys is None else infer_keys)

    def unpack(self, theta: Sequence[float] | np.ndarray, infer_keys: Sequence[str]) -> ParameterStore:
        """The effective store of a theta of these keys."""
        return unpack_params(theta, self.layout(infer_keys), self.base)


def binder(of: str | Design = "testbed", mask: str = "B", values: Mapping[str, Any] | None = None) -> Binder:
    """A binder of a design, at its default values but for some by key."""
    own = design(of) if isinstance(of, str) else of
    spec = inference_spec(own)
    base = ParameterStore.from_spec_defaults(spec).replace(values or {})
    base.validate(spec)
    return Binder(TwoPlaneModel(own, mask), spec, base)
