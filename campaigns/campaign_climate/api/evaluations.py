"""What comes of evaluations of a model: outputs of many, the time of one, which parameters were asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

_CONSTRUCTION_S, _CONSTRUCTION_SHARE = 10e-6, 0.1  # from here on `update` is worth it


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds of one evaluation.

    Attributes:
        construction_s: making the model from parameters; 0 where parameters are arguments of a compiled program.
        run_s: running it.
        is_compiled: whether JAX traces the model.
    """

    construction_s: float
    run_s: float
    is_compiled: bool

    @property
    def advice(self) -> str | None:
        """What to do where construction is worth saving: more than 10 µs and 10 % of an evaluation."""
        share = self.construction_s / (self.construction_s + self.run_s or 1.0)
        if self.construction_s <= _CONSTRUCTION_S or share <= _CONSTRUCTION_SHARE:
            return None
        return (
            f"making the model takes {self.construction_s * 1e6:.0f} µs, {share:.0%} of an evaluation: give "
            "ModelRunner(update=function(model, params)), which changes the parameters of a model that was made once"
        )


@dataclass(frozen=True, slots=True)
class Batch:
    """Outputs for n rows of parameters.

    Attributes:
        times: variable → (T,).
        values: variable → (n, T), NaN where a model failed.
        ok: (n,), whether every value of a row is finite.
    """

    times: dict[str, np.ndarray]
    values: dict[str, np.ndarray]
    ok: np.ndarray


class Reading(dict):
    """Parameters by name that remember which were asked for."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        super().__init__(values)
        self.read: set[str] = set()

    def __getitem__(self, name: str) -> Any:
        self.read.add(name)
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        self.read.add(name)
        return super().get(name, default)

    def __iter__(self) -> Iterator[str]:
        self.read.update(super().keys())
        return super().__iter__()

    def keys(self) -> Any:
        self.read.update(super().keys())
        return super().keys()

    def values(self) -> Any:
        self.read.update(super().keys())
        return super().values()

    def items(self) -> Any:
        self.read.update(super().keys())
        return super().items()
