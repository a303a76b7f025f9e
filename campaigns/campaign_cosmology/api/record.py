"""Results that are read as objects and as dictionaries: `result.model` and `result["model"]`. No JAX."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields
from typing import Any, Self

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
