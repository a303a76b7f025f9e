"""Results that are read as objects and as dictionaries: `result.model` and `result["model"]`. No JAX."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields, is_dataclass
from typing import Any, Self

import numpy as np

from campaign.science import UnknownName, nearest


class Record(Mapping[str, Any]):
    """A dataclass that is also a read-only dictionary of its fields: `in`, `get`, `items`, `dict(result)`.

    ``OptimizationResult.from_dict(json.loads(json.dumps(result.to_dict())))`` is the result again.
    """

    __slots__ = ()

    def __getitem__(self, key: str) -> Any:
        names = [f.name for f in fields(self)]  # pyright: ignore[reportArgumentType]
        if key not in names:
            raise UnknownName(f"the {type(self).__name__} has no `{key}`", hint=nearest(str(key), names))
        return getattr(self, key)

    def __iter__(self) -> Iterator[str]:
        return (f.name for f in fields(self))  # pyright: ignore[reportArgumentType]

    def __len__(self) -> int:
        return len(fields(self))  # pyright: ignore[reportArgumentType]

    def to_dict(self) -> dict[str, Any]:
        """The fields as a dictionary of its own, all the way down."""
        return asdict(self)  # pyright: ignore[reportArgumentType]

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        """The record of what `to_dict` gave.

        Raises:
            KeyError (UnknownName): a key that the record does not have. TypeError: one is missing.
        """
        names = [f.name for f in fields(cls)]  # pyright: ignore[reportArgumentType]
        for key in document:
            if key not in names:
                raise UnknownName(f"a {cls.__name__} has no `{key}`", hint=nearest(str(key), names))
        return cls(**document)


def plain(value: Any) -> Any:
    """Anything that a fit gives, as what JSON has: arrays are lists, NaN and infinity None."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def to_json(result: Any) -> str:
    """A result as strict JSON: of `run_fit`, of an optimiser, of a profile, or a dictionary of such. NaN is null.

    Results of `run_fit` are plain already, so `json.dumps` takes them too; but it writes NaN and Infinity, which few
    readers of JSON accept.
    """
    return json.dumps(plain(result), indent=2, ensure_ascii=False, allow_nan=False)
